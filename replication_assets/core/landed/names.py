"""What the path of a landed file tells: its table, its place among all files, its format.

| file | place |
|---|---|
| `schema/table/LOAD0000000A.csv` | full load, by its number, which is hexadecimal |
| `schema/table/[2026/11/21/]20261121-1030000000.csv` | changes, by the time in its name |
| `<cdc_path>/CDC_TXN-20261121103000000.csv` | changes of all tables in the order of their transactions |
| `<cdc_path>/CDC00001.csv` | the same, by its number |

Folders of date partitions mean nothing here: the time in the name is finer. Every full-load file sorts
before every file of changes. A name that tells no place is refused: passing over a file would lose rows.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from replication_assets.errors import SourceNotReady

Format: TypeAlias = Literal["csv", "parquet"]
TIME_DIGITS = 18
"""`yyyyMMddHHmmssSSS` and one digit more, as DMS names files of changes."""

_FORMATS: tuple[tuple[str, Format, bool], ...] = (
    (".csv", "csv", False),
    (".csv.gz", "csv", True),
    (".parquet", "parquet", False),
)
_LOAD = re.compile(r"LOAD([0-9A-Fa-f]{1,15})")
_TIME = re.compile(r"(?:.*[^0-9])?([0-9]{8})-?([0-9]{9,10})")
_NUMBER = re.compile(r"[^0-9]*([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A file under the source's root. `table` is (schema, name), None where its rows tell theirs."""

    path: str
    size: int
    modified: int
    """In nanoseconds since 1970."""
    table: tuple[str, str] | None
    format: Format
    gzip: bool
    is_load: bool
    number: int
    named_at: dt.datetime | None
    """The time in its name."""

    @property
    def order(self) -> tuple[bool, int, str]:
        """Files of one table are in this order, whenever they arrive."""
        return (not self.is_load, self.number, self.path.rpartition("/")[2])

    @property
    def at(self) -> dt.datetime:
        """When its rows were written, where they do not say it themselves."""
        return self.named_at or dt.datetime.fromtimestamp(self.modified // 1_000_000_000, dt.UTC)


def landed_file(
    path: str, size: int, modified: int, *, is_wanted: Callable[[str, str], bool], cdc_path: str | None
) -> LandedFile | None:
    """The file at a path below the root; None for one of another table, or that is hidden.

    Raises:
        SourceNotReady: it lies in a wanted place, and its name tells no format or no place.
    """
    within, table = path.split("/"), None
    in_cdc = cdc_path is not None and path.startswith(f"{cdc_path}/")
    if in_cdc and cdc_path is not None:
        within = path[len(cdc_path) + 1 :].split("/")
    if len(within) >= 3:
        if not is_wanted(within[0], within[1]):
            return None
        table, within = (within[0], within[1]), within[2:]
    elif not in_cdc:
        return None
    if any(part.startswith((".", "_")) for part in within):
        return None
    stem, form, gzip = _format(path, within[-1])
    is_load, number, named_at = _place(path, stem)
    if table is None and (is_load or form != "csv"):
        raise _unknown(path, "files of changes in the order of their transactions are CSV, and no full load")
    return LandedFile(path, size, modified, table, form, gzip, is_load, number, named_at)


def _format(path: str, name: str) -> tuple[str, Format, bool]:
    for ending, form, gzip in _FORMATS:
        if name.lower().endswith(ending):
            return name[: -len(ending)], form, gzip
    raise _unknown(path, f"its name ends with none of {', '.join(ending for ending, _, _ in _FORMATS)}")


def _place(path: str, stem: str) -> tuple[bool, int, dt.datetime | None]:
    if match := _LOAD.fullmatch(stem):
        return True, int(match.group(1), 16), None
    if match := _TIME.fullmatch(stem):
        digits = "".join(match.groups())
        named_at = _time(digits)
        if named_at is not None:
            return False, int(digits.ljust(TIME_DIGITS, "0")), named_at
    if match := _NUMBER.fullmatch(stem):
        return False, int(match.group(1)), None
    raise _unknown(path, "its name has no number or time that tells its place among the others")


def _time(digits: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(digits[:17] + "000", "%Y%m%d%H%M%S%f").replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def _unknown(path: str, why: str) -> SourceNotReady:
    return SourceNotReady(
        f"it is not known how to read this file: {why}",
        where=path,
        fix="move it out of the folder, or give it a name as DMS does",
    )


def next_commit(before: int, file: LandedFile) -> int:
    """The commit position of a file that is read after position `before`: the time in its name, or the
    next number where that is not greater."""
    return max(before + 1, file.number if file.named_at is not None else 0)
