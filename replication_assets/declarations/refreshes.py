"""Refreshes: what is copied into which environment, under which policy, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

from replication_assets.declarations.base import Declaration
from replication_assets.declarations.operations import PythonHook

RefreshKind: TypeAlias = Literal["data-refresh", "data-migration"]
MigrationType: TypeAlias = Literal["full-load", "full-load-and-cdc", "cdc"]


@dataclass(frozen=True, slots=True)
class Schedule(Declaration):
    """Again and again, by a `cron` expression of five fields in a `timezone` (`Europe/Berlin`)."""

    cron: str
    _: KW_ONLY
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class OneTime(Declaration):
    """When somebody starts it."""


@dataclass(frozen=True, slots=True)
class AfterLoad(Declaration):
    """Each time that all `tables` (by default those of the refresh) were loaded anew."""

    tables: Sequence[str] = ()


Start: TypeAlias = Schedule | OneTime | AfterLoad


@dataclass(frozen=True, slots=True)
class Subset(Declaration):
    """Part of the tables, referentially complete: some rows to begin with, and all rows that they
    refer to, over any number of steps.

    `begin` says for a table which rows to begin with: a share of them (0.01; the same ones each
    time) or a condition in SQL over its columns. `children` says how many rows that refer to a
    chosen one come along, by foreign key (`orders.customer_id` of the referring table): "all", "none"
    or at most so many for each. It is "none" where nothing is said. `virtual_keys` are references
    that no constraint declares: `{"shop.public.order_events.aggregate_id": "shop.public.orders.id"}`.
    """

    begin: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    _: KW_ONLY
    children: Mapping[str, str | int] = field(default_factory=dict, hash=False)
    virtual_keys: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class SeedRows(Declaration):
    """Rows made for a test team, added to the copy: `function` is `package.module:function`; it gets
    the Arrow schema of the table's rows and gives a table of it."""

    table: str
    _: KW_ONLY
    function: str


@dataclass(frozen=True, slots=True)
class SqlHook(Declaration):
    """A `statement` of SQL that is run on the copy before it is published."""

    statement: str


RefreshHook: TypeAlias = SqlHook | PythonHook


@dataclass(frozen=True, slots=True)
class EnvironmentRefresh(Declaration):
    """A masked copy of tables into an `environment`.

    `tables` are named as in `Table`, or all of a source as `shop.*`; with `subset`, a part of them.
    `policy` names a `MaskingPolicy` of the catalog. By `kind` it is a `data-refresh`, which replaces
    the copy each time, or a `data-migration`, which may go on with what changes. `migration` says so:
    `full-load` copies everything, `full-load-and-cdc` goes on from there, `cdc` goes on from a copy
    that is published already; the last two start once. `start` says when it begins. No more than
    `max_rows` rows are copied: a plan that expects more is refused before anything is read.
    `seed_rows` are added for a test team. `hooks` run before publication; a Python one gets a
    `ports.RefreshHookCall`. Rows are masked, sealed and loaded `chunk_rows` at a time.
    """

    name: str
    _: KW_ONLY
    environment: str
    policy: str
    tables: Sequence[str]
    kind: RefreshKind = "data-refresh"
    migration: MigrationType = "full-load"
    start: Start = OneTime()
    subset: Subset | None = None
    max_rows: int | None = None
    seed_rows: Sequence[SeedRows] = ()
    hooks: Sequence[RefreshHook] = ()
    chunk_rows: int = 200_000
