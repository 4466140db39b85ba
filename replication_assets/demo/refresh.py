"""The masked copy for testers: made by the nightly refresh's own job, proven, and shown.

Of the originals only what the policy says of them is shown: the class of each column and its rule.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

import psycopg

from replication_assets.catalog import Catalog
from replication_assets.core.masking.rules import Keep
from replication_assets.declarations import PostgresTarget
from replication_assets.demo.catalog import QA, REFRESH
from replication_assets.demo.dagster_runs import DagsterRuns
from replication_assets.flows.masking.environment import set_up_environment
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets.replication import Replication

CUSTOMERS = "shop.public.customers"


@dataclass(frozen=True, slots=True)
class MaskedColumn:
    """A column of the original by its class and rule, and values of it in the copy."""

    name: str
    data_class: str
    rule: str
    masked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What is in the copy, what was proven of it, and two of its customers."""

    tables: int
    rows: int
    seconds: float
    proofs: tuple[tuple[str, bool, str], ...]
    customers: tuple[MaskedColumn, ...]

    @property
    def passed(self) -> bool:
        return all(passed for _, passed, _ in self.proofs)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RefreshReport:
        found = json.loads(text)
        customers = tuple(
            MaskedColumn(**{**each, "masked": tuple(each["masked"])}) for each in found["customers"]
        )
        proofs = tuple((name, passed, what) for name, passed, what in found["proofs"])
        return cls(**{**found, "proofs": proofs, "customers": customers})


def refresh(catalog: Catalog, runs: DagsterRuns) -> RefreshReport:
    """Mark the QA database as what it is, refresh it, and prove what was published once more."""
    replication = Replication(catalog)
    set_up_environment(replication, catalog.environment(QA), confirm=False, who="demonstration")
    started = time.monotonic()
    runs.refresh(REFRESH)
    seconds = time.monotonic() - started
    refreshing = Refreshing.of(replication, REFRESH, who="demonstration")
    found = verify_published(refreshing)
    copy = refreshing.target.published()
    tables = copy.tables if copy is not None else ()
    return RefreshReport(
        len(tables),
        sum(table.rows for table in tables),
        seconds,
        tuple((proof.name, proof.passed, proof.what) for proof in found.proofs),
        _customers(catalog),
    )


def _customers(catalog: Catalog) -> tuple[MaskedColumn, ...]:
    target = catalog.environment(QA).target
    assert isinstance(target, PostgresTarget)
    with psycopg.connect(
        host=target.host, port=target.port, dbname=target.database, user=target.user
    ) as connection:
        rows = connection.execute("SELECT * FROM customers ORDER BY id LIMIT 2")
        names = [column.name for column in rows.description or ()]
        values = rows.fetchall()
    policy = catalog.policy(catalog.refresh(REFRESH).policy).table(CUSTOMERS)
    columns = policy.columns if policy is not None else {}
    return tuple(
        MaskedColumn(
            name,
            columns[name].data_class,
            "kept" if isinstance(columns[name].mask, Keep) else type(columns[name].mask).__name__,
            tuple("" if row[at] is None else str(row[at]) for row in values),
        )
        for at, name in enumerate(names)
    )
