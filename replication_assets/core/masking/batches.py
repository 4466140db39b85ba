"""Raw rows on their way to the mask, and masked rows on their way to the seal.

Neither prints its rows, nor can be pickled: what cannot be pickled cannot cross from one Dagster
op to another, into a subprocess, an event log or a cache. Python code in the same process can
reach anything; `docs/threat-model.md` says what is guaranteed against whom.
"""

from __future__ import annotations

from typing import NoReturn

import pyarrow as pa

from replication_assets.errors import GuardError


class _Rows:
    __slots__ = ("__batch",)

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.__batch = batch

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__batch.num_rows} rows of {self.__batch.num_columns} columns)"

    def __len__(self) -> int:
        return int(self.__batch.num_rows)

    def __reduce__(self) -> NoReturn:
        raise GuardError(
            f"a {type(self).__name__} does not leave its process",
            fix="mask and seal the rows where they are read; pass on the sealed batch",
        )

    def reveal(self) -> pa.RecordBatch:
        """The rows. For the mask and the seal; keep them nowhere."""
        return self.__batch


class RawBatch(_Rows):
    """Rows of a source table as the event store gives them."""

    __slots__ = ()


class MaskedBatch(_Rows):
    """Rows that a `TableMask` made. Only the seal takes it, and only sealed batches are loaded."""

    __slots__ = ()
