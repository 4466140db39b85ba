"""A row that DynamoDB cannot hold as declared: refused, kept as a dead letter, mended, reprocessed.

The datasheet of one widget becomes XML that does not parse. The rest of its item is written, the
datasheet goes to the dead letters. Then the monolith mends it, and the letters are reprocessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from replication_assets.catalog import Catalog, PostgresSourceConfig
from replication_assets.demo.catalog import SERVICE, SOURCE, WIDGETS
from replication_assets.demo.dagster_runs import DagsterRuns
from replication_assets.replication import Replication

_REWRITE = "UPDATE widgets SET datasheet = %s WHERE id = (SELECT min(id) FROM widgets)"
_TORN = '<datasheet number="1"><material>steel'
_WHOLE = '<datasheet number="1"><material>steel</material></datasheet>'


@dataclass(frozen=True, slots=True)
class DeadLetterReport:
    """What was refused and why; how many were open then, and after they were reprocessed."""

    column: str
    reason: str
    refused: int
    left: int


def refuse_and_reprocess(catalog: Catalog, runs: DagsterRuns) -> DeadLetterReport:
    """Through Dagster's own runs: capture, projection, and the asset of the dead letters."""
    replication = Replication(catalog)
    (table,) = (table.id for table in catalog.tables if str(table.id) == WIDGETS)
    letters = replication.store().dead_letters(SERVICE, table)
    _write(catalog, _TORN)
    runs.capture(SOURCE)
    runs.project(table)
    refused = letters.open()
    _write(catalog, _WHOLE)
    runs.capture(SOURCE)
    runs.reprocess(SERVICE, table)
    first = refused[0].refusal
    return DeadLetterReport(first.column or "the whole row", first.reason, len(refused), letters.count())


def _write(catalog: Catalog, datasheet: str) -> None:
    source = catalog.source(SOURCE)
    assert isinstance(source, PostgresSourceConfig)
    with psycopg.connect(
        host=source.host, port=source.port, dbname=source.database, user=source.user
    ) as connection:
        connection.execute(_REWRITE, [datasheet])
