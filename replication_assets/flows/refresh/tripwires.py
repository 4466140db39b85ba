"""Columns that are kept as they are, looked at for what they should not hold.

A policy may call a column public in which somebody began to write e-mail addresses. A sample of what is
kept is held against the shapes of personal data and secrets; what was approved by name is told, and
stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from replication_assets.core.masking.detectors import PERSON, detect
from replication_assets.core.masking.policy import TablePolicy
from replication_assets.core.masking.rules import Keep

SAMPLE = 10_000
SHARE = 0.01
"""Of the sampled values: fewer may be chance."""
SHARE_OF_NAMES = 0.3
"""Names of people are names of much else."""


@dataclass
class Tripwires:
    """Of one table, over the batches of its copy."""

    table: str
    policy: TablePolicy | None
    _sampled: dict[str, list[pa.Array]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def look(self, batch: pa.RecordBatch) -> None:
        for name in self._kept():
            room = SAMPLE - self._counts.get(name, 0)
            if room > 0 and name in batch.schema.names:
                values = batch.column(name).drop_null()[:room]
                self._sampled.setdefault(name, []).append(values)
                self._counts[name] = self._counts.get(name, 0) + len(values)

    def tripped(self) -> Iterator[tuple[str, bool]]:
        """What was found, and whether somebody approved the column."""
        for name, parts in self._sampled.items():
            shares = detect(pa.concat_arrays(parts))
            for what, share in sorted(shares.items()):
                if share >= (SHARE_OF_NAMES if what == PERSON else SHARE):
                    told = f"{self.table}.{name} is kept, and {share:.0%} of a sample look like {what}"
                    yield told, self._approved(name)

    def _kept(self) -> list[str]:
        columns = self.policy.columns if self.policy is not None else {}
        return [name for name, column in columns.items() if isinstance(column.mask, Keep)]

    def _approved(self, name: str) -> bool:
        return self.policy is not None and bool(self.policy.columns[name].approved_by)
