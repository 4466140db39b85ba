"""What the commands of `dms` share: how task files are named, read and shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.dms.findings import Finding
    from replication_assets.dms.task import Task

KNOWN_TARGETS = (
    "postgres", "postgresql", "aurora-postgresql", "babelfish", "mysql", "mariadb", "aurora",
    "aurora-serverless", "aurora-postgresql-serverless", "sqlserver", "oracle", "sqlite", "db2", "sybase",
    "dynamodb", "s3", "kafka", "kinesis", "redshift", "redshift-serverless", "docdb", "mongodb", "opensearch",
    "elasticsearch", "neptune", "redis", "timestream",
)  # fmt: skip
"""Engine names of target endpoints in the API of DMS, and those that are written here besides."""
FilesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="Table mappings and task settings; all of a table together."),
]
TablesOption = Annotated[
    Path | None,
    typer.Option("--tables", metavar="FILE", help="Columns and sample rows of the source (docs/dms.md)."),
]
EscapeOption = Annotated[
    str,
    typer.Option("--escape", metavar="CHARACTER", help="Oracle's escapeCharacter."),
]
TargetOption = Annotated[
    str, typer.Option("--target", metavar="ENGINE", help="Target endpoint: dynamodb, s3, kafka, postgres ...")
]


def open_task(files: list[Path], tables: Path | None, *, escape: str, target: str) -> Task:
    """Raises CatalogError for a file that cannot be read, and for tables that are not understood."""
    from replication_assets.dms.findings import errors
    from replication_assets.dms.source_tables import read_tables
    from replication_assets.dms.task import read_task

    if len(escape) > 1:
        raise CatalogError(["--escape is one character. Fix: the letter alone"], where="command line")
    if target and target.strip().lower() not in KNOWN_TARGETS:
        names = ", ".join(KNOWN_TARGETS)
        raise CatalogError(
            [f"--target {target[:40]!r} is no engine of a target. Fix: one of {names}"], where="command line"
        )
    known = None
    if tables is not None:
        known, findings = read_tables(text_of(tables), str(tables))
        if errors(findings):
            raise CatalogError([str(each) for each in errors(findings)], where=str(tables))
    return read_task({str(path): text_of(path) for path in files}, known, escape=escape, target=target)


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{path} cannot be read ({type(error).__name__}). Fix: name a file of UTF-8 text"
        raise CatalogError([problem], where="command line") from None


def show_findings(findings: tuple[Finding, ...]) -> None:
    from replication_assets.cli.output import show

    styles = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for each in findings:
        rule = f" (rule {each.rule})" if each.rule is not None else ""
        show(f"{each.severity}: {each.place}: {each.what}{rule}", styles[each.severity])
        if each.fix:
            show(f"  Fix: {each.fix}")


def printable(value: Any) -> Any:
    """Values of samples as JSON has them; what it has not is text."""
    if isinstance(value, dict):
        return {name: printable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [printable(part) for part in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
