"""Rows of a CSV file, as exact texts. What is cut off is told with the file and never read as whole.

A file that was cut off ends within a row, a quoted field or a gzip stream: its last byte is not the end
of a line, its quotes do not pair, or the stream is short. DMS ends every row with a line feed.

Files of a table begin with `Op` or not, which the number of fields tells. Files of transactions have
rows of every table, of as many fields as each has: they are read once for each number of fields, and
rows of others are left to their turn.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from replication_assets.core.landed.events import LandedRows
from replication_assets.core.landed.names import LandedFile
from replication_assets.errors import DecodeError
from replication_assets.sources.landed.layout import FileLayout, Name

BLOCK_BYTES = 4 * 2**20
FIRST_BYTES = 2**20
"""What is looked at to count the fields of the first row."""
OP = "Op"
_OPERATIONS = {"I": "I", "U": "U", "D": "D", "INSERT": "I", "UPDATE": "U", "DELETE": "D"}
_ROW = re.compile(r"[Rr]ow #(\d+)")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?")
_OP_FIELDS = 3
"""`op,table,schema` before the fields of a row in a file of transactions."""

Open = Callable[[], IO[bytes]]


class CheckedStream(io.RawIOBase):
    """Passes bytes on, and knows at the end whether they are whole."""

    def __init__(self, stream: IO[bytes], *, quoted: bool) -> None:
        self._stream, self._quoted, self._quotes, self._last = stream, quoted, 0, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raw = self._stream.read(len(buffer))
        buffer[: len(raw)] = raw
        self._quotes += raw.count(b'"')
        self._last = raw[-1:] or self._last
        return len(raw)

    def close(self) -> None:
        self._stream.close()
        super().close()

    def problem(self) -> str | None:
        """Why what was read to its end is not whole."""
        if not self._last:
            return "it is empty"
        if self._last != b"\n":
            return "its last row does not end: it was cut off, or is being written"
        return "a quoted field does not end: it was cut off" if self._quoted and self._quotes % 2 else None


def table_rows(open_file: Open, file: LandedFile, layout: FileLayout, where: str) -> Iterator[LandedRows]:
    """Rows of a file of one table, some megabytes at a time.

    Raises:
        DecodeError: the file is torn, or is not what was declared; with the row's number.
    """
    assert file.table is not None
    first = _first_record(open_file, layout, where)
    names = _field_names(first, file.table, layout, where)
    number = 0
    for batch in _batches(open_file, names, layout, where, skip=int(layout.header), invalid=_refuse):
        count = batch.num_rows
        ops = batch.column(OP) if OP in names else pa.repeat(pa.scalar("I"), count)
        numbers = np.arange(number, number + count)
        yield _rows(file.table, numbers, ops, batch, layout, where)
        number += count


def transaction_rows(
    open_file: Open, tables: Mapping[Name, int], layout: FileLayout, where: str
) -> Iterator[LandedRows]:
    """Rows of a file of transactions, of `tables` with their numbers of columns; other tables' rows are
    passed over. Raises as `table_rows`."""
    widths = sorted(set(tables.values())) or [0]
    for width in widths:
        others: list[int] = []
        turn = _set_aside(others, tables, layout)
        stamp = [layout.timestamp_column] if layout.timestamp_column is not None else []
        names = [OP, "table", "schema", *stamp, *(f"c{n}" for n in range(width))]
        number = 0
        for batch in _batches(open_file, names, layout, where, skip=int(layout.header), invalid=turn):
            numbers, number = _numbers(others, number, batch.num_rows)
            yield from _of_tables(batch, numbers, tables, width, layout, where)


def _numbers(others: Sequence[int], first: int, count: int) -> tuple[Any, int]:
    """Places in the file of the next `count` rows that were not set aside, and of what follows."""
    taken = np.asarray(others, np.int64) - 1
    span = np.arange(first, first + count + len(others))
    numbers = span[~np.isin(span, taken)][:count]
    return numbers, int(numbers[-1]) + 1 if count else first


def _of_tables(
    batch: pa.RecordBatch,
    numbers: Any,
    tables: Mapping[Name, int],
    width: int,
    layout: FileLayout,
    where: str,
) -> Iterator[LandedRows]:
    for name, count in tables.items():
        mask = pc.and_(pc.equal(batch.column("schema"), name[0]), pc.equal(batch.column("table"), name[1]))
        mask = pc.fill_null(mask, False)
        if not pc.any(mask).as_py():
            continue
        chosen, places = batch.filter(mask), numbers[mask.to_numpy(zero_copy_only=False)]
        if count != width:
            raise _wrong_width(int(places[0]) + 1, width, count, where)
        declared = layout.declared(name)
        stamp = chosen.schema.names[_OP_FIELDS : _OP_FIELDS + layout.stamps]
        fields = chosen.select(chosen.schema.names[_OP_FIELDS:])
        fields = fields.rename_columns([*stamp, *(column.name for column in declared)])
        yield _rows(name, places, chosen.column(OP), fields, layout, where)


def _set_aside(others: list[int], tables: Mapping[Name, int], layout: FileLayout) -> Callable[[Any], str]:
    """Rows with another number of fields: each must be of a table that has so many."""

    def turn(row: Any) -> str:
        fields = next(_csv_reader([row.text], layout), [])
        name = (fields[2], fields[1]) if len(fields) >= _OP_FIELDS else None
        if name is None:
            raise _Unreadable(row.number)
        count = tables.get(name)
        if count is not None and row.actual_columns != _OP_FIELDS + layout.stamps + count:
            raise _Unreadable(row.number)
        others.append(row.number)
        return "skip"

    return turn


class _Unreadable(Exception):
    """Carries the number of a row out of Arrow's reader."""

    def __init__(self, number: int | None) -> None:
        super().__init__()
        self.number = number


def _refuse(row: Any) -> str:
    raise _Unreadable(row.number)


def _batches(
    open_file: Open,
    names: Sequence[str],
    layout: FileLayout,
    where: str,
    *,
    skip: int,
    invalid: Callable[[Any], str],
) -> Iterator[pa.RecordBatch]:
    stream = CheckedStream(open_file(), quoted=layout.rfc4180)
    seen: list[int | None] = []

    def handler(row: Any) -> str:
        try:
            return invalid(row)
        except _Unreadable as error:
            seen.append(error.number)
            return "error"

    with stream:
        try:
            yield from pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    column_names=list(names), use_threads=False, block_size=BLOCK_BYTES, skip_rows=skip
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=layout.delimiter,
                    quote_char='"' if layout.rfc4180 else False,
                    newlines_in_values=layout.rfc4180,
                    ignore_empty_lines=False,
                    invalid_row_handler=handler,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types={name: pa.string() for name in names},
                    null_values=[layout.null_value],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except (pa.ArrowInvalid, OSError) as error:
            # Its text quotes the row.
            raise _unreadable(seen, str(error), where) from None
        if (problem := stream.problem()) is not None:
            raise _torn(problem, where)


def _csv_reader(lines: Iterable[str], layout: FileLayout) -> Iterator[list[str]]:
    if layout.rfc4180:
        return csv.reader(lines, delimiter=layout.delimiter)
    return csv.reader(lines, delimiter=layout.delimiter, quoting=csv.QUOTE_NONE)


def _unreadable(seen: Sequence[int | None], text: str, where: str) -> DecodeError:
    if "compressed" in text or "zlib" in text:
        return _torn("its gzip stream ends early, or is none", where)
    if "Empty CSV" in text:
        return _torn("it has no rows", where)
    match = _ROW.search(text)
    row = seen[0] if seen and seen[0] is not None else int(match.group(1)) if match else None
    at = f"row {row}" if row is not None else "a row"
    why = "is not UTF-8" if "UTF8" in text else "has not the declared number of fields, or was cut off"
    return DecodeError(f"{at} {why}", where=where, fix="see who wrote the file, or declare what it holds")


def _torn(problem: str, where: str) -> DecodeError:
    return DecodeError(
        f"the file is torn: {problem}",
        where=where,
        fix="have it written again; the capture goes on from it, and nothing after it was read",
    )


def _wrong_width(row: int, found: int, declared: int, where: str) -> DecodeError:
    return DecodeError(
        f"row {row} has {found} columns, and its table is declared with {declared}",
        where=where,
        fix="declare the columns that the file has, in their order",
    )


def _first_record(open_file: Open, layout: FileLayout, where: str) -> list[str]:
    """The fields of the first row."""
    try:
        with open_file() as stream:
            text = stream.read(FIRST_BYTES).decode("utf-8", "replace")
        return next(_csv_reader(io.StringIO(text, newline=""), layout))
    except OSError as error:
        raise _unreadable((), str(error), where) from None
    except (StopIteration, csv.Error):
        raise _torn("it has no rows", where) from None


def _field_names(first: Sequence[str], table: Name, layout: FileLayout, where: str) -> list[str]:
    if layout.header:
        names = [OP if name.lower() == "op" and n == 0 else name for n, name in enumerate(first)]
        if len(set(names)) < len(names) or not all(names):
            raise DecodeError("its header has a name twice, or none", where=where, fix="see who wrote it")
        return names
    declared = [column.name for column in layout.declared(table)]
    stamp = [layout.timestamp_column] if layout.timestamp_column is not None else []
    missing = len(first) - len(declared) - len(stamp)
    if missing not in (0, 1):
        raise _wrong_width(1, len(first) - len(stamp), len(declared), where)
    return [*([OP] if missing else []), *stamp, *declared]


def _rows(
    table: Name,
    numbers: Any,
    ops: pa.StringArray,
    batch: pa.RecordBatch,
    layout: FileLayout,
    where: str,
) -> LandedRows:
    known = ops.dictionary_encode()
    letters = [
        _OPERATIONS.get(each.upper()) if each is not None else None for each in known.dictionary.to_pylist()
    ]
    found = pa.array(letters, pa.string()).take(known.indices)
    if found.null_count:
        row = int(numbers[np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))[0]]) + 1
        raise DecodeError(
            f"row {row} begins with no operation",
            where=where,
            fix="declare the columns as the file has them, in their order",
        )
    names = batch.schema.names
    values = {name: batch.column(name) for name in names if name not in (OP, layout.timestamp_column)}
    stamp = layout.timestamp_column
    at = _stamps(batch.column(stamp), numbers, where) if stamp in names else None
    return LandedRows(table, numbers, found, at, values)


def _stamps(texts: pa.StringArray, numbers: Any, where: str) -> pa.TimestampArray:
    """Commit times, in UTC."""
    spelled = pc.match_substring_regex(texts, f"^{_STAMP.pattern}$")
    if not pc.all(spelled, min_count=0).as_py():
        odd = np.flatnonzero(pc.fill_null(pc.invert(spelled), False).to_numpy(zero_copy_only=False))
        raise DecodeError(
            f"row {int(numbers[odd[0]]) + 1} has no time in its timestamp column",
            where=where,
            fix="declare timestamp_column as TimestampColumnName of the endpoint, or not at all",
        )
    try:
        return texts.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    except pa.ArrowInvalid:
        raise DecodeError("a time in its timestamp column does not exist", where=where) from None
