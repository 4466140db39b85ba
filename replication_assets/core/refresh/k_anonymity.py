"""k-anonymity: in how small a group the rows of a copy stand by columns that tell people apart together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from replication_assets.core.refresh.proofs import Proof
from replication_assets.core.sql import Spill, engine, figures, quoted


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows by their quasi-identifiers: rows, groups, rows of the smallest group (None without rows), and
    how many rows stand in groups of fewer than `k`."""

    rows: int
    groups: int
    smallest: int | None
    k: int
    rows_below: int

    def proof(self, table: str, columns: Sequence[str], *, enforced: bool) -> Proof:
        """As a proof: one that is not enforced tells, and holds."""
        holds = self.rows_below == 0
        by = ", ".join(columns)
        what = (
            f"{table} by {by}: the smallest of {self.groups:,} groups has {self.smallest or 0:,} rows; "
            f"{self.rows_below:,} of {self.rows:,} rows are in groups of fewer than {self.k}"
        )
        return Proof(
            "k-anonymity",
            holds or not enforced,
            what if enforced or holds else f"{what} (reported: no k_min is declared)",
            {
                "rows": self.rows,
                "groups": self.groups,
                "smallest group": self.smallest or 0,
                "k": self.k,
                "rows in smaller groups": self.rows_below,
            },
        )


def groups_of(
    batches: Iterable[pa.RecordBatch], columns: Sequence[str], k: int, spill: Spill = Spill()
) -> Groups:
    """Group masked rows by columns. NULL is a value: a person without a birth date is told apart too."""
    names = ", ".join(quoted(name) for name in columns)
    with engine(spill) as connection:
        made = False
        for batch in batches:
            connection.register("arriving", pa.table(batch.select(list(columns))))
            counted = f'SELECT {names}, count(*) AS "~n" FROM arriving GROUP BY ALL'
            verb = "INSERT INTO counted" if made else "CREATE TEMP TABLE counted AS"
            connection.execute(f"{verb} {counted}")
            connection.unregister("arriving")
            made = True
        if not made:
            return Groups(0, 0, None, k, 0)
        grouped = f'SELECT sum("~n") AS "~m" FROM counted GROUP BY {names}'
        found = figures(
            connection,
            'SELECT sum("~m"), count(*), min("~m"), coalesce(sum("~m") FILTER ("~m" < '
            f"{k}), 0) FROM ({grouped})",
        )
    rows, groups, smallest, below = (int(each or 0) for each in found)
    return Groups(rows, groups, smallest or None, k, below)
