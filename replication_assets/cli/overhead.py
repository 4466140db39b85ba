"""`overhead`: what would capture cost this server?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.options import CatalogOption, JsonOption, chosen_source, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.core.overhead import Overhead
    from replication_assets.declarations import SourceConfig

_HERE = "Not with SOURCE. "


def overhead(
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="A source of the catalog: its server is measured.")
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="postgres|mysql|sqlite", help=f"{_HERE}A server that is in no catalog.")
    ] = "",
    host: Annotated[str, typer.Option(help=_HERE.strip())] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help=f"{_HERE}The engine's own unless given.")] = None,
    database: Annotated[str, typer.Option(help=f"{_HERE}Of PostgreSQL.")] = "postgres",
    user: Annotated[str, typer.Option(help=_HERE.strip())] = "",
    password_env: Annotated[
        str,
        typer.Option(metavar="VARIABLE", help=f"{_HERE}The environment variable that holds the password."),
    ] = "",
    sslmode: Annotated[str, typer.Option(help=f"{_HERE}As libpq has it.")] = "require",
    path: Annotated[
        str, typer.Option(metavar="FILE", help=f"{_HERE}Of SQLite: the scratch file is made beside it.")
    ] = "",
    scale: Annotated[
        float, typer.Option(min=0.001, max=1, help="Of 100 INSERT, 20 SELECT, 200 UPDATE, 20 DELETE clients.")
    ] = 0.05,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each way takes its turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.2, max=3600, help="How long a turn is.")] = 5,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a table for a document.")] = False,
    as_json: JsonOption = False,
    catalog: CatalogOption = "",
) -> None:
    """What would capture cost this server? Runs clients without it, with the log read, and with triggers.

    Works in a schema, database or file `replication_assets_overhead`, which must not exist and is removed
    at the end, also after Ctrl-C. It loads the server: not one that others need at the time.
    """
    from replication_assets.cli.output import show, show_json

    if source is not None:
        replication = open_replication(catalog)
        config = replication.catalog.source(chosen_source(replication, source))
    else:
        config = _declared(engine, host, port, database, user, password_env, sslmode, path)
    found = _measured(config, scale, rounds, seconds)
    if as_json:
        show_json(found.document())
    elif markdown:
        show(found.markdown())
    else:
        _show(found)


def _measured(config: SourceConfig, scale: float, rounds: int, seconds: float) -> Overhead:
    from replication_assets.cli.output import say
    from replication_assets.core.overhead import Mix
    from replication_assets.flows.overhead import OverheadPlan, measure_overhead
    from replication_assets.scratch_databases import scratch_captures, scratch_database

    plan = OverheadPlan(Mix.scaled(scale), rounds, seconds)
    return measure_overhead(scratch_database(config), scratch_captures(config), plan, say)


def _show(found: Overhead) -> None:
    from replication_assets.cli.output import Heading, say, show_table

    headings = [Heading(name, figures=place > 0) for place, name in enumerate(found.headings())]
    show_table(headings, found.rows(), names=1)
    say(f"{found.mix} clients, medians of rounds of {found.seconds:g} s. {found.where}")
    for way, why in found.left_out.items():
        say(f"Left out: {way}. {why}")


def _declared(
    engine: str,
    host: str,
    port: int | None,
    database: str,
    user: str,
    password_env: str,
    sslmode: str,
    path: str,
) -> SourceConfig:
    """A source made of the options, by the rules of a catalog's. Raises CatalogError."""
    from replication_assets.catalog_rules.sources import source_rules
    from replication_assets.declarations import MySqlSourceConfig, PostgresSourceConfig, SqliteSourceConfig
    from replication_assets.declarations.sources import SSL_MODES
    from replication_assets.scratch_databases import OVERHEAD
    from replication_assets.secret_references import EnvVar

    mode = next((each for each in SSL_MODES if each == sslmode), None)
    if engine not in ("postgres", "mysql", "sqlite") or mode is None:
        fix = "name a SOURCE of the catalog, or --engine postgres, mysql or sqlite, with an sslmode of libpq"
        raise CatalogError([f"no server is named. Fix: {fix}"], where="command line")
    password = EnvVar(password_env) if password_env else None
    config: SourceConfig
    if engine == "postgres":
        config = PostgresSourceConfig(
            OVERHEAD, host=host, port=port or 5432, database=database, user=user, password=password,
            sslmode=mode,
        )  # fmt: skip
    elif engine == "mysql":
        config = MySqlSourceConfig(
            OVERHEAD, host=host, port=port or 3306, user=user, password=password, sslmode=mode
        )
    else:
        config = SqliteSourceConfig(OVERHEAD, path=path)
    problems = list(source_rules(config))
    if problems:
        raise CatalogError(problems, where="command line")
    return config
