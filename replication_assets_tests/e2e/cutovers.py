"""A bank's accounts replicated to a lake, with a cutover whose hooks are a real receiver."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from replication_assets.catalog import ByWidth, Cutover, EventDate, Table
from replication_assets.declarations import Hook
from replication_assets.flows.cutover.handover import Handover
from replication_assets.ports import HookCall
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

ACCOUNTS = f"{SOURCE}.public.accounts"
NAME = "accounts_to_lake"


def bank(database: FreshDatabase, folder: Path, *, switch: Hook | None, back: Hook | None) -> System:
    """Loaded, captured and projected; a cutover is declared that waits for next to nothing."""
    with_tables = system_of(
        database,
        folder,
        [Table(ACCOUNTS, id_ranges=ByWidth(500), event_date=EventDate(granularity="year"))],
    )
    cutover = Cutover(
        NAME,
        projection="lake",
        switch=switch,
        back=back,
        quiet_seconds=0.1,
        drain_seconds=20,
        watch_seconds=0.1,
    )
    catalog = replace(with_tables.catalog, cutovers=(cutover,)).validate()
    system = System(catalog, database.dsn)
    system.execute(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, owner text, balance numeric(12,2) NOT NULL)",
        "INSERT INTO accounts SELECT g, 'owner ' || g, g FROM generate_series(1, 1200) g",
    )
    system.prepare()
    system.load_all()
    system.execute("UPDATE accounts SET balance = balance + 1 WHERE id % 7 = 0")
    system.capture()
    system.project()
    return system


def die(_: HookCall) -> None:
    """A hook whose process is killed inside of it."""
    os.kill(os.getpid(), signal.SIGKILL)


def handover(system: System, name: str = NAME) -> Handover:
    return Handover.of(system.replication, name)


def steps(system: System) -> Sequence[str]:
    """What the record says was done, in order."""
    return [fact.step for fact in handover(system).log.history().facts]
