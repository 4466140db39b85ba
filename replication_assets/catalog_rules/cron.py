"""Whether a schedule can tick: five fields of a cron expression, and a time zone that is known."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = {name.lower(): at for at, name in enumerate(calendar.month_abbr) if at}
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}

_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_NAMED = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_PART = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def cron_problems(cron: str) -> Iterator[str]:
    """What keeps a cron expression from ticking, field by field."""
    if cron in _NAMED:
        return
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        yield f"cron {cron[:40]!r} is not of 5 fields. Fix: minute hour day month weekday, as '0 3 * * *'"
        return
    wrong = False
    for text, (name, least, greatest, names) in zip(fields, _FIELDS, strict=True):
        if any(not _sound(part, least, greatest, names) for part in text.split(",")):
            wrong = True
            yield f"cron {name} {text[:20]!r} is not of {least} to {greatest}. Fix: as 5, 1-5, */15 or 1,15"
    if not wrong and _never(*fields[2:5]):
        yield f"cron {cron[:40]!r} is of a day that its month has not. Fix: a day that comes"


def _sound(part: str, least: int, greatest: int, names: Mapping[str, int]) -> bool:
    found = _PART.fullmatch(part)
    if found is None:
        return False
    low, high, step = (_number(text, names) for text in found.groups())
    if None in (low, high, step) or (found[3] is not None and not 1 <= (step or 0) <= greatest):
        return False
    first = least if found[1] is None else low
    last = first if found[2] is None else high
    return first is not None and last is not None and least <= first <= last <= greatest


def _number(text: str | None, names: Mapping[str, int]) -> int | None:
    """0 for what is not there, None for what is no number."""
    if text is None:
        return 0
    if text.isascii() and text.isdigit():
        return int(text)
    return names.get(text.lower())


def _never(day: str, month: str, weekday: str) -> bool:
    """Whether a single day and month never meet, as the 30th of February."""
    if weekday != "*" or not day.isdigit():
        return False
    at = _number(month, _MONTHS)
    return month != "*" and at is not None and int(day) > _LONGEST_MONTH.get(at, 31)


def timezone_problems(timezone: str) -> Iterator[str]:
    """Whether the zone is one of the tz database."""
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"timezone {timezone[:40]!r} is not known. Fix: a name of the tz database, as 'Europe/Berlin'"
