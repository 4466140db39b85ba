"""Reports as a Markdown document with plots, and one as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure.report import Plot, Report, Table, Target

ABOUT = (
    "Made by `make bench`; not to be edited. Every table is of one run on one machine: the paths were run by"
    " turns, and figures are medians of three. Absolute rates move with the machine; ratios within a table"
    " and processor time per row do so less. Client time is that of the measuring processes, server time that"
    " of the database's."
)
_MET = {True: "yes", False: "**no**", None: "not said"}


def markdown(reports: Sequence[Report], folder: str) -> str:
    """The whole document; `folder` is where its plots are, as the document sees it."""
    parts = [
        "# Benchmarks",
        "",
        ABOUT,
        "",
        "## Targets",
        "",
        _table(
            Table(
                "",
                ("benchmark", "target", "wanted", "reached", "met"),
                tuple(
                    (f"[{report.title}](#{_anchor(report.title)})", t.what, t.wanted, t.reached, _MET[t.met])
                    for report in reports
                    for t in report.targets
                ),
            )
        ),
        "",
    ]
    for report in reports:
        parts += _section(report, folder)
    return "\n".join(parts).rstrip() + "\n"


def _anchor(title: str) -> str:
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _section(report: Report, folder: str) -> list[str]:
    parts = [f"## {report.title}", "", report.about, ""]
    parts += [f"Measured at commit {report.commit} on {report.machine}; {report.made_with}.", ""]
    for table in report.tables:
        parts += [f"**{table.title}**", "", _table(table), ""] if table.title else [_table(table), ""]
    for plot in report.plots:
        parts += [f"![{plot.title}]({folder}/{plot.name}.svg)", ""]
    if report.notes:
        parts += [report.notes, ""]
    return parts


def _table(table: Table) -> str:
    rows = [table.headers, tuple("---" for _ in table.headers), *table.lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def shown_in(page: str, report: Report) -> str:
    """A page that people write, with the tables that it shows of the report as they are now.

    A table stands between `<!-- of NAME: TITLE -->` and `<!-- end -->`, with what it was measured on.
    """
    for table in report.tables:
        begin, end = f"<!-- of {report.name}: {table.title} -->", "<!-- end -->"
        before, found, rest = page.partition(begin)
        if found:
            measured = f"Measured at commit {report.commit} on {report.machine}."
            after = rest.partition(end)[2]
            page = f"{before}{begin}\n\n{_table(table)}\n\n{measured}\n\n{end}{after}"
    return page


def text(report: Report) -> str:
    """For a terminal: machine first, then tables in columns, then targets."""
    parts = [f"{report.machine}; {report.made_with}; commit {report.commit}", "", report.title]
    for table in report.tables:
        parts += ["", *([table.title] if table.title else []), *_columns(table)]
    if report.targets:
        parts += ["", *(_told(target) for target in report.targets)]
    return "\n".join(parts) + "\n"


def _told(target: Target) -> str:
    met = {True: "met", False: "MISSED", None: "not said"}[target.met]
    return f"{target.what}: {target.reached} ({target.wanted}): {met}"


def _columns(table: Table) -> list[str]:
    rows = [table.headers, *table.lines]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.headers))]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def draw(plot: Plot, folder: Path) -> None:
    """As `<name>.svg`, the same bytes for the same points."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams["svg.hashsalt"] = plot.name
    figure, axes = pyplot.subplots(figsize=(7.5, 3.8))
    if plot.kind == "bars":
        names = list(plot.series)
        values = [plot.series[name][0][1] for name in names]
        axes.barh(names, values)
        axes.invert_yaxis()
        axes.set_xlabel(plot.y)
    else:
        for name, points in plot.series.items():
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        if plot.log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.legend()
        axes.grid(visible=True, alpha=0.3)
    axes.set_title(plot.title)
    figure.tight_layout()
    figure.savefig(folder / f"{plot.name}.svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
