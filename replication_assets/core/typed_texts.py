"""Numbers, dates and moments that a text is, each in forms that are spelled out here.

Python reads more than any database writes: `1_0`, digits of other scripts, weeks (`2024-W01-1`), and of a
fraction of a second it drops what is beyond microseconds. Whatever is in no form here is refused, and so is
what the value would lose: nothing is cut. No error quotes a text.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
"""No type reaches further than four digits of an exponent do."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
    r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_MIDNIGHT = dt.time()


def number_of(value: Any) -> Decimal:
    """A number, or a text that is one; of a float the digits that it prints. Raises ValueError."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) is None:
            raise ValueError("is no number")
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise ValueError("is no number")


def float_of(value: Any) -> float:
    """A float, or a number that a float prints. Raises ValueError."""
    if isinstance(value, float):
        return value
    number = number_of(value)
    try:
        found = float(number)
        fits = Decimal(repr(found)) == number
    except ArithmeticError:
        fits = False
    if not fits:
        raise ValueError("is no float")
    return found


def moment_of(value: Any) -> dt.datetime:
    """A moment without a zone: that of UTC where the value has a zone, and midnight of a date. Raises
    ValueError."""
    if isinstance(value, str):
        value = moment_in(value)
    if isinstance(value, dt.datetime):
        return _in_utc(value)
    if isinstance(value, dt.date):
        return dt.datetime.combine(value, _MIDNIGHT)
    raise ValueError("is no date and time")


def date_of(value: Any) -> dt.date:
    """A date, or a moment that is at midnight. Raises ValueError."""
    moment = moment_of(value)
    if moment.time() != _MIDNIGHT:
        raise ValueError("is no date")
    return moment.date()


def moment_in(text: str) -> dt.datetime:
    """The moment that a text is, in the zone that it names, if any; midnight of a date. Raises ValueError."""
    if _MOMENT.fullmatch(text) is None and _DATE.fullmatch(text) is None:
        raise ValueError("is no date and time")
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no date and time") from None


def _in_utc(moment: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError("is beyond the years that there are") from None
