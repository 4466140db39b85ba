"""What makes a catalog impossible: every rule, each with the way out.

A declaration whose fields have wrong types is not looked at further; the others are, and
all findings are listed together. Names become asset keys, folders, slots and publications,
so they are held to what all of these allow.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches

from replication_assets.catalog_rules.documents import projected_documents
from replication_assets.catalog_rules.dynamodb import dynamodb_problems, rival_problems
from replication_assets.catalog_rules.shapes import shapes_problems
from replication_assets.catalog_rules.sources import shared_server_ids, shared_slots, source_rules
from replication_assets.catalog_rules.sql import folder_of, sql_problems, sql_rivals
from replication_assets.catalog_rules.watch import freshness_problems, sla_problems, watch_problems
from replication_assets.core.events import RESERVED_COLUMNS
from replication_assets.core.id_ranges import ByCount
from replication_assets.core.range_specs import spec_problems
from replication_assets.core.row_filters import Compare, filter_problems
from replication_assets.core.schema import TableId
from replication_assets.declarations import (
    Cutover,
    Declaration,
    DeltaProjection,
    DynamoDbProjection,
    EventStoreConfig,
    Hook,
    LiteralSecret,
    Projection,
    PythonHook,
    Refusals,
    SourceConfig,
    SqlProjection,
    Table,
    Watch,
    WebhookHook,
)
from replication_assets.declarations.base import SECRET_FIELDS
from replication_assets.declared_types import type_problems

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def catalog_problems(
    event_store: EventStoreConfig,
    sources: Sequence[SourceConfig],
    tables: Sequence[Table],
    projections: Sequence[Projection],
    cutovers: Sequence[Cutover],
    watch: Watch,
    today: dt.date,
) -> Iterator[str]:
    """All problems of all declarations, and of how they fit together."""
    found: list[str] = []
    sound_sources = [each for each in sources if not _note(found, label("source", each.name), _form(each))]
    sound_projections = [
        each for each in projections if not _note(found, label("projection", each.name), _form(each))
    ]
    sound_tables = [each for each in tables if not _note(found, _tablelabel(each), _table_form(each))]
    store_is_sound = not _note(found, "event store", _form(event_store))
    ids = [table.id for table in sound_tables]
    for source in sound_sources:
        _note(found, label("source", source.name), [*name_problems(source.name), *source_rules(source)])
    for table in sound_tables:
        _note(found, _tablelabel(table), _table_rules(table, today))
        _note(found, _tablelabel(table), sla_problems(table))
    for projection in sound_projections:
        _note(found, label("projection", projection.name), _projection_rules(projection, sound_tables))
        late = freshness_problems(projection.freshness_seconds)
        _note(found, label("projection", projection.name), late)
    _note(found, "projections", rival_problems(sound_projections))
    _note(found, "projections", sql_rivals(sound_projections, sound_tables, sound_sources))
    for cutover in cutovers:
        rules = _form(cutover) if list(_form(cutover)) else _cutover_rules(cutover, projections)
        _note(found, label("cutover", cutover.name), rules)
    _note(found, "cutovers", _duplicates(cutovers))
    _note(found, "sources and projections", _duplicates([*sound_sources, *sound_projections]))
    _note(found, "tables", _table_references(ids, [source.name for source in sources]))
    _note(found, "sources", shared_slots(sound_sources))
    _note(found, "sources", shared_server_ids(sound_sources))
    _note(found, "roots", _overlaps([event_store] if store_is_sound else [], sound_projections))
    found.extend(watch_problems(watch))
    yield from found


def _note(found: list[str], where: str, problems: Iterable[str]) -> bool:
    noted = [f"{where}: {problem}" for problem in problems]
    found.extend(noted)
    return bool(noted)


def label(kind: str, name: object) -> str:
    return f"{kind} {name if isinstance(name, str) else '(unnamed)'}"


def _tablelabel(table: Table) -> str:
    names = (table.path,) if table.path is not None else (table.source, table.schema, table.name)
    return "table " + ".".join(name if isinstance(name, str) else "?" for name in names)


# --- form: types of fields, credentials ------------------------------------------------


def _form(declared: Declaration) -> Iterator[str]:
    names = [each.name for each in fields(declared)]  # type: ignore[arg-type]
    literal = {name: _literals(getattr(declared, name)) for name in names}
    for name, options in literal.items():
        for option in options:
            yield f"{name} {option}".strip() + _give_by_reference(declared, name, option)
    yield from type_problems(declared, skip=[name for name, options in literal.items() if options])


def form_problems(declared: Declaration) -> Iterator[str]:
    """Fields of wrong types and literal credentials, of one declaration by itself."""
    return _table_form(declared) if isinstance(declared, Table) else _form(declared)


def _give_by_reference(declared: object, field: str, option: str) -> str:
    if not option and field not in SECRET_FIELDS:
        return " holds a password. Fix: write it without one, and give the password by reference"
    variable = re.sub(r"\W", "_", option or f"{getattr(declared, 'name', '')}_{field}").upper()
    return f" is a literal credential (dropped). Fix: a reference, as EnvVar({variable!r})"


def _literals(value: object) -> list[str]:
    """Where `value` holds a dropped credential: the name of each option, or "" for itself."""
    if isinstance(value, LiteralSecret):
        return [""]
    if isinstance(value, Mapping):
        return [str(name) for name, part in value.items() if isinstance(part, LiteralSecret)]
    return [""] if isinstance(value, tuple) and any(isinstance(part, LiteralSecret) for part in value) else []


def _table_form(table: Table) -> Iterator[str]:
    wrong = list(_form(table))
    yield from wrong
    if wrong:
        return
    yield from (f"event_date {problem}" for problem in type_problems(table.event_date))
    yield from (f"id_ranges {problem}" for problem in type_problems(table.id_ranges))
    for where in table.where:
        yield from (f"where: {problem}" for problem in type_problems(where))
        if isinstance(where.one_of, tuple) and all(isinstance(each, Compare) for each in where.one_of):
            yield from (f"where: {problem}" for each in where.one_of for problem in type_problems(each))
    try:
        _ = table.id
    except ValueError:
        yield (
            "a table is named by exactly one source, schema and name. "
            'Fix: Table("shop.public.orders"), or source=, schema= and name= where a name has a dot'
        )


# --- rules of one declaration ----------------------------------------------------------


def name_problems(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield (
            f"name {name[:40]!r} cannot be part of an asset key. "
            "Fix: up to 40 lower-case letters, digits and _, a letter first"
        )


def _table_rules(table: Table, today: dt.date) -> Iterator[str]:
    for problem in spec_problems(table.id_ranges):
        yield f"id_ranges: {problem}"
    for where in table.where:
        yield from (f"where: {problem}" for problem in filter_problems(where))
    if len(set(table.key)) != len(table.key):
        yield f"key names a column twice: {', '.join(table.key)}. Fix: name each once"
    whole = table.id_ranges == ByCount(1)
    if whole and table.range_column is not None:
        yield "range_column is given, but the table is one range. Fix: drop it, or id_ranges=ByCount(4)"
    if table.key and table.range_column not in (None, *table.key) and not table.append_only:
        yield (
            f"range_column {table.range_column!r} is not in the key: deletes carry the key alone and would "
            f"miss their range. Fix: one of {', '.join(table.key)}, or append_only=True if that is so"
        )
    reserved = {name.lower() for name in RESERVED_COLUMNS}
    for column in {*table.key, table.range_column, table.event_date.column} - {None}:
        if not column or column.lower() in reserved:
            yield f"column {column!r} is reserved for the event store, or empty. Fix: a column of the table"
    if table.group is not None and not re.fullmatch(r"[A-Za-z0-9_]+", table.group):
        yield f"group {table.group!r} is no Dagster group. Fix: letters, digits and _"
    for owner in table.owners:
        if not re.fullmatch(r"team:\S+|[^@\s]+@[^@\s]+", owner):
            yield f"owner {owner!r} is not an owner to Dagster. Fix: an e-mail address, or team:name"
    if table.event_date.start > today:
        yield f"event_date.start {table.event_date.start} is in the future. Fix: the date of the first rows"


def table_problems(names: Sequence[str], tables: Sequence[Table]) -> Iterator[str]:
    """What is wrong with the tables that a projection names."""
    ids = {str(table.id): None for table in tables}
    wildcards = {f"{table.id.source}.*" for table in tables}
    times = Counter(names)
    if not names:
        yield "projects no table. Fix: name tables, or all of a source as 'shop.*'"
    for name in names:
        if name not in ids and name not in wildcards:
            yield f"table {name!r} is not in the catalog. Fix: {_nearest(name, [*ids, *sorted(wildcards)])}"
        if times[name] > 1:
            yield f"table {name!r} is named twice. Fix: name it once"


def _projection_rules(projection: Projection, tables: Sequence[Table]) -> Iterator[str]:
    yield from name_problems(projection.name)
    yield from table_problems(projection.tables, tables)
    yield from refusal_problems(projection.refusals)
    yield from (f"validation {problem}" for problem in type_problems(projection.validation))
    yield from shapes_problems(projection, tables)
    if isinstance(projection, DynamoDbProjection):
        yield from dynamodb_problems(projection)
    else:
        yield from projected_documents(projection, tables)
    if isinstance(projection, SqlProjection):
        yield from sql_problems(projection, tables)


def _cutover_rules(cutover: Cutover, projections: Sequence[Projection]) -> Iterator[str]:
    yield from name_problems(cutover.name)
    names = [projection.name for projection in projections]
    if cutover.projection not in names:
        near = _nearest(cutover.projection, names)
        yield f"projection {cutover.projection!r} is not in the catalog. Fix: {near}"
    for field, hook in (("switch", cutover.switch), ("back", cutover.back)):
        yield from (f"{field} {problem}" for problem in (_hook_rules(hook) if hook else ()))
    for field in ("quiet_seconds", "drain_seconds", "watch_seconds"):
        if not 0 <= getattr(cutover, field) < float("inf"):
            yield f"{field} is below 0. Fix: a number of seconds"


def _hook_rules(hook: Hook) -> Iterator[str]:
    if isinstance(hook, WebhookHook) and _literals(hook.url):
        yield "url holds a token or a password (dropped). Fix: a reference, as EnvVar('SWITCH_URL')"
        return
    wrong = list(_form(hook))
    yield from wrong
    if wrong:
        return
    if isinstance(hook, PythonHook) and not re.fullmatch(r"[\w.]+:\w+", hook.function):
        yield f"{hook.function[:60]!r} names no function. Fix: as 'package.module:function'"
    url = hook.url if isinstance(hook, WebhookHook) else None
    if isinstance(url, str) and not re.match(r"https?://[^/]", url):
        yield "url is none. Fix: https://host/path, or a reference to one"


def refusal_problems(refusals: Refusals) -> Iterator[str]:
    yield from (f"refusals {problem}" for problem in type_problems(refusals))
    if type(refusals.escalate_after) is int and refusals.escalate_after < 1:
        yield "refusals escalate_after is below 1. Fix: how many open dead letters are too many"


# --- how they fit together -------------------------------------------------------------


def _duplicates(declared: Sequence[SourceConfig | Projection | Cutover]) -> Iterator[str]:
    times = Counter(each.name for each in declared)
    for name in sorted(name for name in times if times[name] > 1):
        yield f"{times[name]} are called {name!r}. Fix: one name each, also between the two kinds"


def _table_references(ids: Sequence[TableId], sources: Collection[str]) -> Iterator[str]:
    times = Counter(ids)
    for table in sorted(table for table in times if times[table] > 1):
        yield f"{table} is declared {times[table]} times. Fix: declare it once"
    spelled = Counter(str(table) for table in set(ids))
    for name in sorted(name for name in spelled if spelled[name] > 1):
        yield (
            f"{spelled[name]} tables are written {name!r}, which names each of them. Fix: replicate one of"
            " them, or rename a schema or table so that the dots tell them apart"
        )
    for name in sorted({table.source for table in ids} - set(sources)):
        using = next(str(table) for table in ids if table.source == name)
        yield f"{using} is of source {name!r}, which is not in the catalog. Fix: {_nearest(name, sources)}"


def _nearest(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"declare it, or use one of {', '.join(sorted(known)[:5])}" if known else "declare it"


def _overlaps(event_stores: Sequence[EventStoreConfig], projections: Sequence[Projection]) -> Iterator[str]:
    roots = [("the event store", _parts(store.root)) for store in event_stores]
    roots += [
        (f"projection {each.name}", _parts(each.root))
        for each in projections
        if isinstance(each, DeltaProjection)
    ]
    folders = [(each, folder_of(each)) for each in projections]
    roots += [(f"projection {each.name}", _parts(folder)) for each, folder in folders if folder]
    for at, (owner, root) in enumerate(roots):
        if len(root) < 2:
            yield f"{owner} has no root. Fix: a folder, or s3://bucket/prefix"
            continue
        for other, inner in roots[at + 1 :]:
            shorter = min(len(root), len(inner))
            if len(inner) > 1 and root[:shorter] == inner[:shorter]:
                yield f"{owner} and {other} overlap. Fix: folders of their own, side by side"


def _parts(root: str) -> list[str]:
    """Scheme, then folders. Text only: nothing is looked up on disk."""
    scheme, _, path = root.partition("://") if "://" in root else ("file", "", root)
    if not path:
        return [scheme]
    scheme = {"s3a": "s3", "s3n": "s3"}.get(scheme.lower(), scheme.lower())
    start = [] if scheme != "file" else ["/"] if path.startswith("/") else ["."]
    return [scheme, *start, *(part for part in posixpath.normpath(path).split("/") if part not in ("", "."))]
