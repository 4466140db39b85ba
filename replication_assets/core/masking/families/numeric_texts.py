"""Numbers that no Arrow type holds, as texts: `numeric` without precision, or with more than 38 digits.

Row by row in Python's integers: such columns are few, and right matters more than fast. Texts come out
in the source's own spelling: all digits, no exponent, as many after the point as went in.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from replication_assets.core.masking.column_kinds import bare_type
from replication_assets.core.masking.families.decimals import Unscaled
from replication_assets.core.masking.masker import MaskedColumn
from replication_assets.errors import GuardError

GRAMMAR = r"\A-?[0-9]+(?:\.[0-9]+)?\z"
_NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?", re.ASCII)
# A share of more digits would leave the range of a float.
_MOST_DIGITS = 300

Scales = npt.NDArray[np.int64]


def is_numeric_text(column: MaskedColumn) -> bool:
    return pa.types.is_string(column.arrow) and bare_type(column.structure) in ("numeric", "decimal")


def most_of(column: MaskedColumn) -> int:
    """The greatest number without a point: by the type's own precision, or by what is read at all."""
    declared = re.search(r"\((\d+)", column.structure.type)
    most: int = 10 ** (int(declared[1]) if declared else 2 * _MOST_DIGITS) - 1
    return most


def numbers_of(values: pa.Array, name: str) -> tuple[Unscaled, Scales]:
    """Integers without a point, and how many digits stood after it; nulls as 0.

    Raises:
        GuardError: texts that are no finite numbers (`NaN`, `Infinity`), or far too long ones.
    """
    numbers, scales, odd = np.zeros(len(values), object), np.zeros(len(values), np.int64), 0
    for at, text in enumerate(values.to_pylist()):
        if text is None:
            continue
        if len(text) > _MOST_DIGITS or not (found := _NUMBER.fullmatch(text)):
            odd += 1
            continue
        numbers[at] = int(text.replace(".", "", 1))
        scales[at] = len(found[2] or "")
    if odd:
        raise GuardError(
            f"{odd} values are no finite numbers of at most {_MOST_DIGITS} digits",
            where=f"column {name}",
            fix="use Null or Constant, or put them right at the source",
        )
    return numbers, scales


def texts_of(numbers: Unscaled, scales: Scales, like: pa.Array) -> pa.Array:
    """The inverse of `numbers_of`, null where `like` is."""
    rows = zip(numbers.tolist(), scales.tolist(), like.is_valid().to_pylist(), strict=True)
    return pa.array(
        [_spelled(number, scale) if valid else None for number, scale, valid in rows], pa.string()
    )


def _spelled(number: int, scale: int) -> str:
    digits, sign = str(abs(number)).rjust(scale + 1, "0"), "-" if number < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"
