"""A cutover's report as Markdown for Dagster, as plain text for a terminal, and as JSON."""

from __future__ import annotations

import json

from replication_assets.core.cutover import Gate, Report, SourceWindow
from replication_assets.core.positions import Position


def markdown(report: Report) -> str:
    """For Dagster's metadata: verdict, gates, positions, rows."""
    lines = [f"## {report.verdict}: {_title(report)}", "", _summary(report), ""]
    lines += ["| | gate | found |", "|---|---|---|"]
    lines += [f"| {_mark(gate)} | {gate.name} | {_cell(_found(gate))} |" for gate in report.gates]
    if report.windows:
        lines += ["", "| source | position before the wait | after it |", "|---|---|---|"]
        lines += [f"| {each.source} | `{each.first}` | `{each.last}` |" for each in report.windows]
    if report.tables:
        lines += ["", "| table | rows |", "|---|---:|"]
        lines += [f"| {_cell(str(each.table))} | {_rows(each.rows)} |" for each in report.tables]
    if report.stop_writes:
        lines += ["", "To stop writes, as an owner of the tables or an administrator:", "", "```sql"]
        lines += [*report.stop_writes, "```"]
    return "\n".join(lines) + "\n"


def text(report: Report) -> str:
    """For a terminal: every gate, and for those that hold the cutover up the facts and the fix."""
    lines = [f"{report.verdict}  {_title(report)}", _summary(report), ""]
    for gate in report.gates:
        lines.append(f"{_mark(gate):7} {gate.name}: {gate.what}")
        if not gate.passed:
            lines += [f"        {name}: {figure}" for name, figure in gate.facts]
            lines += [f"        Fix: {gate.fix}"] if gate.fix else []
    for window in report.windows:
        lines.append(f"{window.source}: looked at from {window.first} to {window.last}")
    for each in report.tables:
        lines.append(f"{each.table}, rows: {_rows(each.rows)}")
    if report.stop_writes:
        lines += ["", "To stop writes, as an owner of the tables or an administrator:"]
        lines += [f"  {statement}" for statement in report.stop_writes]
    return "\n".join(lines) + "\n"


def body(report: Report) -> str:
    """JSON, for the record of the cutover, the switch hook and `--json`."""
    parts = {
        "cutover": report.cutover,
        "projection": report.projection,
        "verdict": report.verdict,
        "stage": report.stage,
        "started_at": report.started_at.isoformat(),
        "ended_at": report.ended_at.isoformat(),
        "gates": [
            {
                "name": gate.name,
                "passed": gate.passed,
                "advisory": gate.advisory,
                "what": gate.what,
                "fix": gate.fix,
                "facts": dict(gate.facts),
            }
            for gate in report.gates
        ],
        "positions": {
            each.source: {"first": str(each.first), "last": str(each.last)} for each in report.windows
        },
        "rows": {str(each.table): each.rows for each in report.tables},
        "stop_writes": list(report.stop_writes),
    }
    return json.dumps(parts)


def windows_of(told: str) -> tuple[SourceWindow, ...]:
    """The positions that a report of `body` rests on."""
    positions = json.loads(told).get("positions", {})
    return tuple(
        SourceWindow(source, Position.parse(each["first"]), Position.parse(each["last"]))
        for source, each in positions.items()
    )


def _title(report: Report) -> str:
    kinds = {"dry run": "dry run of cutover", "cutover": "cutover", "watch": "watch of cutover"}
    return f"{kinds[report.stage]} {report.cutover} to {report.projection}"


def _summary(report: Report) -> str:
    held = report.holding_up
    seconds = (report.ended_at - report.started_at).total_seconds()
    told = f"{len(report.gates)} gates in {seconds:.1f} s"
    if not held:
        return f"{told}, nothing holds it up."
    return f"{told}, held up by {', '.join(dict.fromkeys(gate.name for gate in held))}."


def _mark(gate: Gate) -> str:
    return "pass" if gate.passed else "advice" if gate.advisory else "HOLD"


def _found(gate: Gate) -> str:
    facts = "; ".join(f"{name}: {figure}" for name, figure in gate.facts)
    parts = [gate.what, f"({facts})" if facts else "", f"**Fix:** {gate.fix}" if not gate.passed else ""]
    return " ".join(part for part in parts if part)


def _cell(words: str) -> str:
    """Inside of a table's cell a bar ends it, also in names that people chose."""
    return words.replace("|", "\\|").replace("\n", " ")


def _rows(count: int | None) -> str:
    return "not known" if count is None else f"{count:,}"
