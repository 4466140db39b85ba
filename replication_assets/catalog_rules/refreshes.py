"""Rules of masking policies, environments and refreshes: what is legal, and how they fit together."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from replication_assets.catalog_rules.cron import cron_problems, timezone_problems
from replication_assets.catalog_rules.environments import (
    environment_form,
    environment_rules,
    form,
    shared_targets,
)
from replication_assets.catalog_rules.masking import FUNCTION, near, policy_rules
from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.declarations.base import LiteralSecret
from replication_assets.declarations.environments import Environment
from replication_assets.declarations.operations import PythonHook
from replication_assets.declarations.projections import Projection
from replication_assets.declarations.refreshes import (
    AfterLoad,
    EnvironmentRefresh,
    MigrationType,
    OneTime,
    RefreshHook,
    RefreshKind,
    Schedule,
    SeedRows,
    SqlHook,
    Subset,
)
from replication_assets.declarations.sources import SourceConfig
from replication_assets.declarations.tables import Table
from replication_assets.declared_types import type_problems

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

LEGAL: Collection[tuple[RefreshKind, MigrationType, str]] = (
    ("data-refresh", "full-load", "schedule"),
    ("data-refresh", "full-load", "one-time"),
    ("data-migration", "full-load", "schedule"),
    ("data-migration", "full-load", "one-time"),
    ("data-migration", "full-load-and-cdc", "one-time"),
    ("data-migration", "cdc", "one-time"),
)
"""Kind, migration and start of every refresh there can be; `AfterLoad` counts as a schedule."""


def refresh_problems(
    tables: Sequence[Table],
    policies: Sequence[MaskingPolicy],
    environments: Sequence[Environment],
    refreshes: Sequence[EnvironmentRefresh],
    sources: Sequence[SourceConfig] = (),
    projections: Sequence[Projection] = (),
) -> Iterator[str]:
    """All that is wrong with what is copied out of production, each with its place and its fix."""
    ids = _ids(tables)
    named: dict[str, MaskingPolicy | None] = {}
    for policy in policies:
        wrong = list(type_problems(policy))
        named[policy.name] = None if wrong else policy
        rules = wrong or [*_name_rules(policy.name), *policy_rules(policy, ids)]
        yield from (f"policy {_shown(policy.name)}: {problem}" for problem in rules)
    sound = []
    for environment in environments:
        wrong = list(environment_form(environment))
        sound += [] if wrong else [environment]
        rules = wrong or [*_name_rules(environment.name), *environment_rules(environment)]
        yield from (f"environment {_shown(environment.name)}: {problem}" for problem in rules)
    known = _Known(ids, named, [each.name for each in environments])
    sound_refreshes = []
    for refresh in refreshes:
        wrong = list(form(refresh))
        sound_refreshes += [] if wrong else [refresh]
        rules = wrong or [*_refresh(refresh, known)]
        yield from (f"refresh {_shown(refresh.name)}: {problem}" for problem in rules)
    yield from _partial_copies(sound_refreshes, known)
    yield from _name_clashes(policies, environments, refreshes, [*sources, *projections])
    yield from shared_targets(sound, [each for each in sources if not list(type_problems(each))])


class _Known:
    """What a refresh may name. A policy of which something is wrong is there without its tables."""

    def __init__(
        self,
        tables: Sequence[str],
        policies: Mapping[str, MaskingPolicy | None],
        environments: Sequence[str],
    ) -> None:
        self.tables = tables
        self.policies = policies
        self.environments = environments
        self.wildcards = sorted({f"{table.partition('.')[0]}.*" for table in tables})

    def copied(self, names: Sequence[str]) -> list[str]:
        """Tables that are meant, by name or as all of a source."""
        return [table for table in self.tables if table in names or f"{table.partition('.')[0]}.*" in names]


def _partial_copies(refreshes: Sequence[EnvironmentRefresh], known: _Known) -> Iterator[str]:
    """An environment holds one copy: a refresh of other tables would drop those of the one before."""
    first: dict[str, EnvironmentRefresh] = {}
    for refresh in refreshes:
        before = first.setdefault(refresh.environment, refresh)
        if set(known.copied(before.tables)) != set(known.copied(refresh.tables)):
            yield (
                f"refreshes {before.name} and {refresh.name} copy different tables into environment "
                f"{refresh.environment!r}, and each would drop those of the other. Fix: the same tables in "
                "both, or an environment of its own for each"
            )


def _ids(tables: Sequence[Table]) -> list[str]:
    found = []
    for table in tables:
        try:
            found.append(str(table.id))
        except (ValueError, AttributeError, TypeError):
            # Said of the table itself.
            continue
    return found


def _shown(name: object) -> str:
    return name if isinstance(name, str) and name else "(unnamed)"


def _name_rules(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield (
            f"name {name[:40]!r} cannot be part of an asset key. "
            "Fix: up to 40 lower-case letters, digits and _, a letter first"
        )


def _name_clashes(
    policies: Sequence[MaskingPolicy],
    environments: Sequence[Environment],
    refreshes: Sequence[EnvironmentRefresh],
    others: Sequence[SourceConfig | Projection],
) -> Iterator[str]:
    taken = {each.name for each in others}
    kinds: tuple[tuple[str, Sequence[Any]], ...] = (
        ("policies", policies),
        ("environments", environments),
        ("refreshes", refreshes),
    )
    for kind, declared in kinds:
        names = [each.name for each in declared]
        for name in sorted({str(name) for name in names if names.count(name) > 1}):
            yield f"{kind}: {names.count(name)} are called {name!r}. Fix: one name each"
    for environment in environments:
        if environment.name in taken:
            yield (
                f"environment {environment.name}: a source or a projection is called so too, "
                "and their assets would have the same keys. Fix: another name"
            )


# --- one refresh -----------------------------------------------------------------------


def _refresh(refresh: EnvironmentRefresh, known: _Known) -> Iterator[str]:
    yield from _name_rules(refresh.name)
    if refresh.environment not in known.environments:
        fix = near(refresh.environment, known.environments)
        yield f"environment {refresh.environment!r} is not in the catalog. Fix: {fix}"
    yield from _combination(refresh)
    yield from _start(refresh, known)
    yield from _tables(refresh, known)
    copied = known.copied(refresh.tables)
    if refresh.subset is not None:
        yield from (f"subset {problem}" for problem in _subset(refresh, refresh.subset, copied))
    for seed in refresh.seed_rows:
        yield from (f"seed_rows {problem}" for problem in _seed(seed, copied))
    for number, hook in enumerate(refresh.hooks, start=1):
        yield from (f"hook {number} {problem}" for problem in _hook(hook))
    for field in ("max_rows", "chunk_rows"):
        value = getattr(refresh, field)
        if value is not None and value < 1:
            yield f"{field} {value} is not above 0. Fix: a number of rows"


def _combination(refresh: EnvironmentRefresh) -> Iterator[str]:
    start = "one-time" if isinstance(refresh.start, OneTime) else "schedule"
    if (refresh.kind, refresh.migration, start) in LEGAL:
        return
    if refresh.kind == "data-refresh":
        yield (
            f"kind 'data-refresh' replaces a copy, and migration {refresh.migration!r} goes on with one. "
            "Fix: migration='full-load', or kind='data-migration'"
        )
    if start == "schedule" and refresh.migration != "full-load":
        yield (
            f"migration {refresh.migration!r} is started once and goes on by itself, and start is "
            f"{type(refresh.start).__name__}. Fix: start=OneTime(), or migration='full-load'"
        )


def _start(refresh: EnvironmentRefresh, known: _Known) -> Iterator[str]:
    start = refresh.start
    wrong = list(type_problems(start))
    yield from (f"start {problem}" for problem in wrong)
    if wrong:
        return
    if isinstance(start, Schedule):
        yield from (f"start {problem}" for problem in cron_problems(start.cron))
        yield from (f"start {problem}" for problem in timezone_problems(start.timezone))
    elif isinstance(start, AfterLoad):
        for name in start.tables:
            if name not in known.tables:
                yield f"start waits for table {name!r}, not in the catalog. Fix: {near(name, known.tables)}"


def _tables(refresh: EnvironmentRefresh, known: _Known) -> Iterator[str]:
    names = list(refresh.tables)
    if not names:
        yield "copies no table. Fix: name tables, or all of a source as 'shop.*'"
    for name in dict.fromkeys(names):
        if name not in known.tables and name not in known.wildcards:
            fix = near(name, [*known.tables, *known.wildcards])
            yield f"table {name!r} is not in the catalog. Fix: {fix}"
        if names.count(name) > 1:
            yield f"table {name!r} is named twice. Fix: name it once"
    if refresh.policy not in known.policies:
        yield f"policy {refresh.policy!r} is not in the catalog. Fix: {near(refresh.policy, known.policies)}"
    policy = known.policies.get(refresh.policy)
    if policy is None:
        return
    listed = {str(table.table) for table in policy.tables}
    for name in known.copied(names):
        if name not in listed:
            yield (
                f"table {name!r} is not in the policy {policy.name}, which names what may be copied. "
                f"Fix: TablePolicy({name!r}, columns={{...}}), or leave it out"
            )


def _subset(refresh: EnvironmentRefresh, subset: Subset, copied: Sequence[str]) -> Iterator[str]:
    if refresh.migration != "full-load":
        yield (
            f"is chosen once for a copy, and migration {refresh.migration!r} goes on with every row. "
            "Fix: no subset, or migration='full-load'"
        )
    wrong = list(type_problems(subset))
    yield from wrong
    if wrong:
        return
    yield from _beginning(subset, copied)
    for key, number in subset.children.items():
        if not _is_column(key, copied, short=True):
            yield f"children {key!r} is no column of a copied table. Fix: as 'orders.customer_id'"
        if number not in ("all", "none") and not (isinstance(number, int) and number >= 1):
            yield f"children {key!r} is neither. Fix: 'all', 'none', or how many for each"
    for key in (name for pair in subset.virtual_keys.items() for name in pair):
        if not _is_column(key, copied):
            yield f"virtual_keys {key!r} is no column of a copied table. Fix: as 'shop.public.orders.id'"


def _beginning(subset: Subset, copied: Sequence[str]) -> Iterator[str]:
    if not subset.begin:
        yield "begins with no rows. Fix: begin={'shop.public.customers': 0.01}"
    for table, share in subset.begin.items():
        if table not in copied:
            yield f"begins with table {table!r}, which is not copied. Fix: {near(table, copied)}"
        if isinstance(share, str) and not share.strip():
            yield f"begins with no condition on {table!r}. Fix: SQL over its columns, or a share as 0.01"
        elif not isinstance(share, str) and not 0 < share <= 1:
            yield f"begins with a share of {share} of {table!r}. Fix: above 0 and at most 1, as 0.01"


def _is_column(name: str, copied: Sequence[str], *, short: bool = False) -> bool:
    """Whether a column is named by its table: in full, or where it may be by the last names of it."""
    table, _, column = name.rpartition(".")
    whole = table in copied
    return bool(column) and (whole or (short and any(each.endswith(f".{table}") for each in copied)))


def _seed(seed: SeedRows, copied: Sequence[str]) -> Iterator[str]:
    wrong = list(form(seed))
    yield from wrong
    if wrong:
        return
    if seed.table not in copied:
        yield f"table {seed.table!r} is not copied. Fix: {near(seed.table, copied)}"
    if not FUNCTION.fullmatch(seed.function):
        yield f"{seed.function[:60]!r} names no function. Fix: as 'package.module:function'"


def _hook(hook: RefreshHook) -> Iterator[str]:
    if isinstance(hook, SqlHook) and isinstance(hook.statement, LiteralSecret):
        yield "statement holds a password (dropped). Fix: let a Python hook read it by reference"
        return
    wrong = list(form(hook))
    yield from wrong
    if wrong:
        return
    if isinstance(hook, SqlHook) and not hook.statement.strip():
        yield "statement is empty. Fix: one SQL statement"
    if isinstance(hook, PythonHook) and not FUNCTION.fullmatch(hook.function):
        yield f"{hook.function[:60]!r} names no function. Fix: as 'package.module:function'"
