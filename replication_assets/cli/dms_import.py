"""`dms import`: a catalog in Python or YAML that does what DMS task files say."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.dms_files import (
    EscapeOption,
    FilesArgument,
    TablesOption,
    TargetOption,
    open_task,
)
from replication_assets.cli.dms_source import Engine, source_config
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.catalog import Catalog
    from replication_assets.declarations import SourceConfig, TopicProjection
    from replication_assets.dms.compiling import Compiled
    from replication_assets.dms.findings import Finding


class Written(StrEnum):
    """What a catalog is written in."""

    PYTHON = "python"
    YAML = "yaml"


TargetHostOption = Annotated[str, typer.Option(help="Where the SQL database of --target is.")]
TargetDatabaseOption = Annotated[
    str, typer.Option(help="That database, or the folder of SQLite files: copies if nothing is said.")
]
AllPartitionsOption = Annotated[
    bool, typer.Option("--all-partitions", help="Load tables whole of which partitions are listed.")
]


def import_(
    files: FilesArgument,
    tables: TablesOption = None,
    written: Annotated[Written, typer.Option("--format", help="python or yaml.")] = Written.PYTHON,
    source: Annotated[str, typer.Option(help="What the catalog calls the source.")] = "source",
    engine: Annotated[Engine, typer.Option(help="What the source is.")] = Engine.POSTGRES,
    host: Annotated[str, typer.Option(help="Where the source is.")] = "db.internal",
    database: Annotated[str, typer.Option(help="Its database, Oracle's service, or a file.")] = "app",
    user: Annotated[str, typer.Option(help="User of the source.")] = "replicator",
    region: Annotated[str, typer.Option(help="AWS region of DynamoDB tables and streams.")] = "eu-west-1",
    store: Annotated[str, typer.Option(help="Where the event store is.")] = "./event_store",
    lake: Annotated[str, typer.Option(help="Where tables without an object mapping go.")] = "./lake",
    brokers: Annotated[str, typer.Option(help="host:port,... of the brokers of topics.")] = "",
    escape: EscapeOption = "",
    target: TargetOption = "",
    target_host: TargetHostOption = "target.internal",
    target_database: TargetDatabaseOption = "",
    all_partitions: AllPartitionsOption = False,
    target_user: Annotated[str, typer.Option(help="User of that database.")] = "projector",
) -> None:
    """Print a catalog that does what DMS task files say, to be read and carried on from.

    Tables without an object mapping go to a lakehouse, or with --target postgres, mysql, sqlserver, oracle
    or sqlite to tables of such a database.
    What cannot be declared is refused by name, and then nothing is printed.
    """
    from replication_assets.cli.dms_target import database_of, into_database
    from replication_assets.cli.output import show

    into = database_of(target, host=target_host, database=target_database or "copies", user=target_user)
    task = open_task(files, tables, escape=escape, target=target)
    from replication_assets.dms.compiling import compile_task

    compiled = compile_task(
        task,
        source=source,
        region=region,
        lake=lake,
        brokers=brokers,
        database=into,
        all_partitions=all_partitions,
    )
    compiled = into_database(compiled, target_database)
    told = tuple(dict.fromkeys((*task.findings, *compiled.refused)))
    _require_sayable(compiled, told)
    config = source_config(engine, source, host=host, database=database, user=user, compiled=compiled)
    catalog = _catalog(config, compiled, store)
    catalog.validate()
    show((_python(catalog) if written == Written.PYTHON else _yaml(catalog)).rstrip("\n"))
    _tell(told)


def _require_sayable(compiled: Compiled, told: tuple[Finding, ...]) -> None:
    from replication_assets.dms.findings import errors
    from replication_assets.dms.lint import UNKNOWN_TABLES

    refused = [*map(str, errors(told)), *(str(each) for each in told if each.code == UNKNOWN_TABLES)]
    if not compiled.tables and not refused:
        refused = ["no table is named without wildcards. Fix: give the source's tables with --tables"]
    if refused:
        raise CatalogError(refused, where="dms import")


def _tell(findings: tuple[Finding, ...]) -> None:
    from replication_assets.cli.output import say
    from replication_assets.dms.lint import NOT_APPLICABLE

    for each in findings:
        if each.severity == "warning" or each.code == NOT_APPLICABLE:
            say(f"{each.severity}: {each}")


def _catalog(config: SourceConfig, compiled: Compiled, store: str) -> Catalog:
    from replication_assets.catalog import Catalog, EventStoreConfig

    return Catalog(
        EventStoreConfig(store),
        (config,),
        compiled.tables,
        compiled.projections,
        topics=[_with_password(each) for each in compiled.topics],
    )


def _with_password(topics: TopicProjection) -> TopicProjection:
    from replication_assets.catalog import EnvVar, KafkaProjection

    if not isinstance(topics, KafkaProjection) or topics.sasl is None:
        return topics
    return replace(topics, password=EnvVar(f"{topics.name.upper()}_PASSWORD"))


def _python(catalog: Catalog) -> str:
    from replication_assets.dms.python_text import as_python, names_in

    names = "".join(f"    {name},\n" for name in sorted(names_in(catalog)))
    return f"from replication_assets import (\n{names})\n\ncatalog = {as_python(catalog)}\n"


def _yaml(catalog: Catalog) -> str:
    import yaml

    from replication_assets.cli.dms_yaml import plain

    document = {"type": "replication_assets.components.ReplicationComponent", "attributes": plain(catalog)}
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    return text
