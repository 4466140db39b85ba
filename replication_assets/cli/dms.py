"""`dms lint` and `dms explain`: what AWS DMS task files say, before any data moves."""

from __future__ import annotations

import typer

from replication_assets.cli import exits
from replication_assets.cli.dms_files import (
    EscapeOption,
    FilesArgument,
    TablesOption,
    TargetOption,
    open_task,
    printable,
    show_findings,
)
from replication_assets.cli.options import JsonOption


def lint(
    files: FilesArgument,
    tables: TablesOption = None,
    escape: EscapeOption = "",
    target: TargetOption = "",
    as_json: JsonOption = False,
) -> None:
    """What is wrong or dangerous in DMS task files, with line and column and the fix.

    Ends with 3 if there is an error or a warning; notes alone are no finding.
    """
    from replication_assets.cli.output import show_json, things
    from replication_assets.dms.report import as_document

    task = open_task(files, tables, escape=escape, target=target)
    serious = [each for each in task.findings if each.severity != "note"]
    if as_json:
        show_json({"findings": [as_document(each) for each in task.findings]})
    else:
        show_findings(task.findings)
        from replication_assets.cli.output import say

        say(f"{things(len(serious), 'finding')} in {things(len(files), 'file')}", "bold")
    raise typer.Exit(exits.FOUND if serious else exits.OK)


def explain(
    files: FilesArgument,
    tables: TablesOption = None,
    escape: EscapeOption = "",
    target: TargetOption = "",
    as_json: JsonOption = False,
) -> None:
    """What DMS task files do: tables, columns, filters, segments, items, and each setting.

    Ends with 3 if something in them is an error. Nothing is connected to.
    """
    from replication_assets.cli.dms_report import show_report
    from replication_assets.cli.output import show_json
    from replication_assets.dms.findings import errors
    from replication_assets.dms.report import report

    task = open_task(files, tables, escape=escape, target=target)
    document = report(task)
    if as_json:
        show_json(printable(document))
    else:
        show_report(document)
        show_findings(task.findings)
    raise typer.Exit(exits.FOUND if errors(task.findings) else exits.OK)


def group() -> typer.Typer:
    """The commands under `dms`, each with its example."""
    from replication_assets.cli.dms_import import import_
    from replication_assets.cli.dms_plan import plan

    commands = typer.Typer(no_args_is_help=True, help="Task files of AWS DMS: what they say and do.")
    for name, command, example in (
        ("lint", lint, "lint mappings/*.json task_settings.json"),
        ("explain", explain, "explain mappings/*.json --tables tables.json --json"),
        ("plan", plan, "plan mappings/*.json --source orders --samples 3"),
        ("import", import_, "import mappings/*.json task_settings.json --source orders"),
    ):
        commands.command(name, epilog=f"Example: replication-assets dms {example}")(command)
    return commands
