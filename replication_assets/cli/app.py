"""The application: its commands, and the one place where every command ends."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from replication_assets.cli import exits

DEBUG = "--debug"


class Commands(TyperGroup):
    """Runs a command and turns what it raises into an exit code."""

    debug = False

    def invoke(self, ctx: Any) -> Any:
        exits.interrupt_on_signals()
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        # KeyboardInterrupt is none of Exception's; typer's own ways to end are left to typer.
        except (KeyboardInterrupt, Exception) as error:
            if type(error).__module__.startswith(("typer", "click")):
                raise
            raise typer.Exit(exits.code_of(error, debug=self.debug)) from None
        return result


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"replication-assets {version('replication-assets')}")
        raise typer.Exit


def make_app(*, plain: bool) -> typer.Typer:
    """All commands. `plain` help has neither colours nor frames."""
    from replication_assets.cli import commands

    app = typer.Typer(
        cls=Commands,
        name="replication-assets",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None if plain else "rich",
        pretty_exceptions_enable=False,
        help="Databases replicated through an append-only event store.",
        epilog=exits.CODES,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    @app.callback()
    def options(
        _: Annotated[
            bool, typer.Option(DEBUG, help="Show tracebacks. May stand anywhere in the line.")
        ] = False,
        _version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=_tell_version, help="Which it is."),
        ] = False,
    ) -> None:
        """Databases replicated through an append-only event store."""

    commands.add_to(app)
    return app


def run() -> None:
    arguments = sys.argv[1:]
    if DEBUG in arguments:
        # Where people put it: after the command, mostly.
        Commands.debug = True
        arguments = [each for each in arguments if each != DEBUG]
    app = make_app(plain=not sys.stdout.isatty())
    try:
        app(arguments, prog_name="replication-assets")
        code = exits.OK
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else exits.OK if ended.code is None else exits.FAILED
    except (KeyboardInterrupt, BrokenPipeError) as error:
        code = exits.code_of(error, debug=Commands.debug)
    exits.end(code)
