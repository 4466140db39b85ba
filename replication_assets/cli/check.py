"""`check`: would the catalog work, here and now?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from replication_assets.cli import exits
from replication_assets.cli.options import CatalogOption, JsonOption, open_replication

if TYPE_CHECKING:
    from replication_assets.flows.check import Examined


def check(catalog: CatalogOption = "", as_json: JsonOption = False) -> None:
    """Would the catalog work? Connections, grants, settings, indexes, event store, targets.

    Lists everything that is missing, each with the statement or step that adds it. Changes nothing.
    Ends with 3 if there are problems; advice alone is no problem.
    """
    from replication_assets.cli.output import show_json, working
    from replication_assets.flows.check import check as examine

    replication = open_replication(catalog)
    found: list[Examined] = []
    with working() as work:
        declared = replication.catalog
        parts = 1 + len(declared.sources) + len(declared.projections) + len(declared.topics)
        work.begin("checking", parts)
        for examined in examine(replication):
            found.append(examined)
            work.note(examined.subject)
            work.advance()
    problems = sum(each.problems for each in found)
    if as_json:
        show_json({"problems": problems, "examined": [asdict(each) for each in found]})
    else:
        for examined in found:
            _show(examined)
        _summarise(found, problems)
    raise typer.Exit(exits.FOUND if problems else exits.OK)


def _show(examined: Examined) -> None:
    from replication_assets.cli.output import show

    mark, style = ("FAILED", "bold red") if examined.problems else ("ok", "green")
    show(f"{mark:<7} {examined.subject}", style)
    for finding in examined.findings:
        kind = "advice: " if finding.severity == "advice" else ""
        show(
            f"          {kind}{finding.where}: {finding.what}"
            if finding.where
            else f"          {finding.what}"
        )
        if finding.fix:
            show(f"          Fix: {finding.fix}")


def _summarise(found: list[Examined], problems: int) -> None:
    from replication_assets.cli.output import say

    advice = sum(len(each.findings) for each in found) - problems
    problem, piece = "problem" if problems == 1 else "problems", "piece" if advice == 1 else "pieces"
    say(f"{problems} {problem}, {advice} {piece} of advice", "bold red" if problems else None)
