"""Row-level comparison of the id ranges whose digests differ, some at a time.

Both sides of a few ranges are held in a DuckDB that spills, until what differs is listed. The
list is written as it is found, in full; what is kept in memory are its figures.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import pyarrow as pa

from replication_assets.core.differences import Differences, Found
from replication_assets.core.digests import Digest
from replication_assets.core.sql import Spill, engine
from replication_assets.flows.validation.findings import LISTED, RowFindings
from replication_assets.ports import FindingLists

ROWS_AT_A_TIME = 8_000_000
"""Rows of one side that are compared together, unless a single range has more."""

Fill = Callable[[Differences, Sequence[str]], None]
"""Fills both sides with the rows of some ranges."""


def groups(ranges: Sequence[str], digests: dict[str, Digest]) -> Iterator[list[str]]:
    """Ranges to compare together, by the rows that they have."""
    group: list[str] = []
    rows = 0
    for key in ranges:
        size = digests[key].rows if key in digests else 0
        if group and rows + size > ROWS_AT_A_TIME:
            yield group
            group, rows = [], 0
        group.append(key)
        rows += size
    if group:
        yield group


def list_differences(
    lists: FindingLists,
    name: str,
    columns: pa.Schema,
    identity: Sequence[str],
    ranges: Sequence[list[str]],
    fill: Fill,
    spill: Spill,
    documents: Sequence[str] = (),
) -> tuple[RowFindings, str | None]:
    """Compare the rows of groups of ranges, and list what differs in `lists`.

    Returns the figures, and where the list is: None if nothing differs.
    """
    findings = RowFindings()
    found = find_differences(columns, identity, ranges, fill, spill, documents)
    rows = findings.listed(found, keyed=bool(identity), documents=bool(documents))
    first = next(rows, None)
    if first is None:
        return findings, None
    now = dt.datetime.now(dt.UTC)
    file = f"{now:%Y%m%dT%H%M%SZ}-{name}-{uuid.uuid4().hex[:8]}"
    listed = lists.write(file, LISTED, chain([first], rows))
    return findings, listed


def find_differences(
    columns: pa.Schema,
    identity: Sequence[str],
    ranges: Sequence[list[str]],
    fill: Fill,
    spill: Spill,
    documents: Sequence[str] = (),
) -> Iterator[Found]:
    """What differs in groups of ranges, streamed. Rows that no range wrote come with the last."""
    with engine(spill) as connection:
        differences = Differences(connection, columns, identity, documents)
        for number, group in enumerate(ranges):
            fill(differences, group)
            yield from differences.find(last=number + 1 == len(ranges))
            differences.clear()
