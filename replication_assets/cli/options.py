"""Options and arguments that commands share, and what they stand for."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.declarations import Projection, Table, TopicProjection
    from replication_assets.replication import Replication

CATALOG_VARIABLE = "REPLICATION_ASSETS_CATALOG"
"""As in `catalog_loading`, which is too slow to import for a page of help."""

CatalogOption = Annotated[
    str,
    typer.Option(
        "--catalog",
        envvar=CATALOG_VARIABLE,
        metavar="MODULE:ATTRIBUTE|YAML",
        help="The Catalog, or a function that returns it (modules of this folder are found); or a defs.yaml.",
        show_default=False,
    ),
]
TablesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="TABLE", help="Tables, as shop.public.orders or orders; all unless named."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON on standard output.")]


def open_replication(catalog: str) -> Replication:
    """What the catalog declares.

    Raises:
        CatalogError: no catalog is named, it cannot be loaded, or it is wrong.
    """
    from replication_assets.catalog_loading import load_catalog
    from replication_assets.replication import Replication

    if not catalog:
        problem = (
            "no catalog is named. Fix: --catalog package.module:attribute or path/to/defs.yaml, or set "
            f"it as {CATALOG_VARIABLE}; to try the sample system that `replication-assets dev` runs, "
            "replication_assets.demo.catalog:sample_catalog"
        )
        raise CatalogError([problem], where="command line")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if catalog.endswith((".yaml", ".yml")):
        from replication_assets.components.yaml_catalog import load_yaml_catalog

        return Replication(load_yaml_catalog(Path(catalog)))
    named_by = CATALOG_VARIABLE if catalog == os.environ.get(CATALOG_VARIABLE) else "--catalog"
    return Replication(load_catalog(catalog, named_by=named_by).validate())


def chosen_tables(replication: Replication, names: Sequence[str] | None) -> tuple[Table, ...]:
    """Tables by their full or own names, in the order of the catalog; all where none is named.

    Raises:
        CatalogError: a name fits no table, or several.
    """
    tables = replication.catalog.tables
    if not names:
        return tuple(tables)
    wanted = {_table_named(tables, name).id for name in names}
    return tuple(table for table in tables if table.id in wanted)


def _table_named(tables: Sequence[Table], name: str) -> Table:
    found = [table for table in tables if name in (str(table.id), table.id.name)]
    if len(found) == 1:
        return found[0]
    if found:
        problem = f"{name!r} is the name of {len(found)} tables. Fix: {' or '.join(str(t.id) for t in found)}"
    else:
        problem = f"table {name!r} is not in the catalog. Fix: {_near(name, tables_by_name(tables))}"
    raise CatalogError([problem], where="command line")


def chosen_source(replication: Replication, name: str) -> str:
    """Raises CatalogError if no source is called so."""
    return _one_of("source", name, [source.name for source in replication.catalog.sources])


def chosen_projections(
    replication: Replication, projection: str | None, tables: Sequence[str] | None
) -> list[tuple[Projection, Table]]:
    """Projections with their tables: all, or those of one, or some tables of it.

    Raises:
        CatalogError: a name fits nothing.
    """
    catalog = replication.catalog
    if projection in [topic.name for topic in catalog.topics]:
        problem = (
            f"{projection} writes topics, which take events and hold no rows: that is for other projections."
            " Fix: name one of those, or use project, status and dead-letters"
        )
        raise CatalogError([problem], where="command line")
    if projection is not None:
        _one_of("projection", projection, [each.name for each in catalog.projections])
    wanted = {table.id for table in chosen_tables(replication, tables)}
    found = [
        (each, table)
        for each in catalog.projections
        if projection in (None, each.name)
        for table in catalog.projected(each)
        if table.id in wanted
    ]
    if not found:
        named = f"projection {projection}" if projection else "any projection"
        problem = (
            f"{', '.join(tables or ['no table'])}: not in {named}. Fix: add it to the projection's tables"
        )
        raise CatalogError([problem], where="command line")
    return found


def chosen_topics(
    replication: Replication, projection: str | None, tables: Sequence[str] | None
) -> list[tuple[TopicProjection, Table]]:
    """Projections into topics with their tables, as `chosen_projections`; empty if it is none of them."""
    catalog = replication.catalog
    wanted = {table.id for table in chosen_tables(replication, tables)}
    return [
        (each, table)
        for each in catalog.topics
        if projection in (None, each.name)
        for table in catalog.projected(each)
        if table.id in wanted
    ]


def chosen_rows(
    replication: Replication, projection: str | None, tables: Sequence[str] | None
) -> list[tuple[Projection, Table]]:
    """`chosen_projections`, and none where only topics are named or declared."""
    topics = chosen_topics(replication, projection, tables)
    return (
        []
        if topics and _only_topics(replication, projection, tables)
        else chosen_projections(replication, projection, tables)
    )


def _only_topics(replication: Replication, projection: str | None, tables: Sequence[str] | None) -> bool:
    catalog = replication.catalog
    if projection is not None:
        return projection in [topic.name for topic in catalog.topics]
    wanted = {table.id for table in chosen_tables(replication, tables)}
    return not any(table.id in wanted for each in catalog.projections for table in catalog.projected(each))


def _one_of(kind: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        problem = f"{kind} {name!r} is not in the catalog. Fix: {_near(name, known)}"
        raise CatalogError([problem], where="command line")
    return name


def tables_by_name(tables: Sequence[Table]) -> dict[str, str]:
    """Full names by every name that a table goes by."""
    return {name: str(table.id) for table in tables for name in (str(table.id), table.id.name)}


def _near(name: str, known: Sequence[str] | Mapping[str, str]) -> str:
    """Advice by names that are alike; a mapping says what each is to be called in it."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    told = list(dict.fromkeys(known[each] if isinstance(known, Mapping) else each for each in close))
    if told:
        return f"did you mean {' or '.join(told)}?"
    every = sorted(set(known.values() if isinstance(known, Mapping) else known))
    return f"use one of {', '.join(every[:8])}" if every else "declare it"
