"""What stands before the rows of a ROWS event, and that its images are whole.

A rows event is `table id (6), flags (2)`, in version 2 `length (2)` and extra data, the number of
columns, a bitmap of the columns that the images have (two for an update: before and after), rows.
Images without some columns (`binlog_row_image` other than FULL, which a session may choose for
itself) are refused: what they leave out is in no other place.
"""

from __future__ import annotations

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.compressed import inflate
from replication_assets.sources.mysql.binlog.events import HEADER, UPDATE_ROWS, lenenc
from replication_assets.sources.mysql.binlog.table_map import TableMap

_V1_DATA = HEADER + 8


class RowHeader:
    """Headers of rows of one table."""

    def __init__(self, table: TableMap) -> None:
        self._columns = len(table.columns)
        self._bytes = (self._columns + 7) // 8
        full = ((1 << self._columns) - 1).to_bytes(self._bytes, "little")
        count = (
            bytes([self._columns]) if self._columns < 0xFB else b"\xfc" + self._columns.to_bytes(2, "little")
        )
        self._usual, self._usual_update = count + full, count + full + full
        self._where = f"{table.schema}.{table.name}"

    def images(self, event: memoryview, rows: tuple[int, int, bool]) -> memoryview | bytes:
        """The images of the event's rows, back to back.

        Raises:
            DecodeError: an image lacks columns.
        """
        operation, version, compressed = rows
        at = _V1_DATA if version == 1 else _V1_DATA + int.from_bytes(event[27:29], "little")
        usual = self._usual_update if operation == UPDATE_ROWS else self._usual
        end = at + len(usual)
        if event[at:end] != usual:
            self._check(event, at, 2 if operation == UPDATE_ROWS else 1)
        return inflate(event[end:]) if compressed else event[end:]

    def _check(self, event: memoryview, at: int, bitmaps: int) -> None:
        count, at = lenenc(event, at)
        if count != self._columns:
            raise DecodeError("rows have another number of columns than their table", where=self._where)
        for _ in range(bitmaps):
            present = int.from_bytes(event[at : at + self._bytes], "little")
            # Bits beyond the last column may be set.
            if ~present & (1 << self._columns) - 1:
                raise DecodeError(
                    "a row image lacks columns: it was written with binlog_row_image other than FULL",
                    where=self._where,
                    fix="SET GLOBAL binlog_row_image = 'FULL', also for sessions that set their own;"
                    " then recover the source, and load every id range again",
                )
            at += self._bytes
