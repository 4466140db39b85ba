"""What gates amount to, what a record of attempts says, and reports that people and programs read."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.cutover import (
    CutoverFact,
    CutoverHistory,
    Gate,
    Report,
    SourceWindow,
    Step,
    TableCount,
)
from replication_assets.core.cutover_report import body, markdown, text, windows_of
from replication_assets.core.positions import INT32_MAX, INT64_MAX, Position
from replication_assets.core.schema import TableId

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
REPORT = Report(
    "to_lake",
    "lake",
    (Gate("writes stopped", True, "nobody writes"), Gate("way back", False, "none", "declare it", (), True)),
    (SourceWindow("app", Position(1, 10), Position(1, 20)),),
    (TableCount(TableId("app", "public", "a|b"), 12345), TableCount(TableId("app", "public", "c"), None)),
    ("REVOKE INSERT ON a FROM b;",),
    AT,
    AT + dt.timedelta(seconds=2),
)
HELD = replace(
    REPORT,
    gates=(*REPORT.gates, Gate("validated", False, "3 differ", "repair them", (("app.public.c", "1 | 2"),))),
)


def test_a_gate_that_fails_is_no_go_unless_it_is_advice() -> None:
    assert (REPORT.verdict, REPORT.holding_up) == ("GO", ())
    assert (HELD.verdict, [gate.name for gate in HELD.holding_up]) == ("NO-GO", ["validated"])


def test_the_text_names_what_holds_it_up_with_its_facts_and_its_fix() -> None:
    assert text(HELD).splitlines() == [
        "NO-GO  cutover to_lake to lake",
        "3 gates in 2.0 s, held up by validated.",
        "",
        "pass    writes stopped: nobody writes",
        "advice  way back: none",
        "        Fix: declare it",
        "HOLD    validated: 3 differ",
        "        app.public.c: 1 | 2",
        "        Fix: repair them",
        f"app: looked at from {Position(1, 10)} to {Position(1, 20)}",
        "app.public.a|b, rows: 12,345",
        "app.public.c, rows: not known",
        "",
        "To stop writes, as an owner of the tables or an administrator:",
        "  REVOKE INSERT ON a FROM b;",
    ]


def test_markdown_keeps_its_tables_whole_whatever_names_hold() -> None:
    lines = markdown(HELD).splitlines()
    assert lines[0] == "## NO-GO: cutover to_lake to lake"
    assert "| HOLD | validated | 3 differ (app.public.c: 1 \\| 2) **Fix:** repair them |" in lines
    assert "| app.public.a\\|b | 12,345 |" in lines


def test_json_says_all_of_it() -> None:
    told = json.loads(body(HELD))
    assert (told["verdict"], told["stage"], told["rows"]) == (
        "NO-GO",
        "cutover",
        {"app.public.a|b": 12345, "app.public.c": None},
    )
    assert [gate["name"] for gate in told["gates"]] == ["writes stopped", "way back", "validated"]


positions = st.builds(
    Position, st.integers(0, INT32_MAX), st.integers(0, INT64_MAX), st.integers(0, INT64_MAX)
)


@given(st.lists(st.builds(SourceWindow, st.text(), positions, positions), unique_by=lambda each: each.source))
def test_the_positions_of_a_report_are_read_back(windows: list[SourceWindow]) -> None:
    assert windows_of(body(replace(REPORT, windows=tuple(windows)))) == tuple(windows)


def history(*steps: Step) -> CutoverHistory:
    return CutoverHistory(
        tuple(
            CutoverFact(f"a{number}", step, AT + dt.timedelta(minutes=number))
            for number, step in enumerate(steps)
        )
    )


@pytest.mark.parametrize(
    ("steps", "switched", "unclear", "passed"),
    [
        ((), False, False, False),
        (("started", "no-go"), False, False, False),
        (("started", "go"), False, False, False),
        (("started", "go", "switching"), False, True, False),
        (("started", "go", "switching", "switched"), True, False, False),
        (("switching", "switched", "watch-failed"), True, False, False),
        (("switching", "switched", "watch-passed"), True, False, True),
        (("switching", "switched", "watch-passed", "started", "watch-failed"), True, False, False),
        (("switching", "switched", "watch-passed", "started"), True, False, True),
        (("switching", "switch-failed"), False, True, False),
        (("switching", "switch-failed", "going-back", "back"), False, False, False),
        (("switching", "switched", "going-back"), False, True, False),
        (("switching", "switched", "going-back", "back-failed"), False, True, False),
        (("switching", "switched", "watch-passed", "going-back", "back"), False, False, False),
        (("switching", "switched", "watch-passed", "going-back", "back", "switched"), True, False, False),
        (("switched", "watch-passed", "retired"), True, False, True),
    ],
)
def test_the_record_says_where_readers_are(
    steps: tuple[Step, ...], switched: bool, unclear: bool, passed: bool
) -> None:
    found = history(*steps)
    assert (found.switched is not None, found.unclear is not None, found.passed) == (
        switched,
        unclear,
        passed,
    )


def test_the_record_is_told_in_a_line() -> None:
    assert str(history()) == "never run"
    assert str(history("started", "no-go")) == "not switched; last step: no-go at 2026-03-01 12:01:00 UTC"
    assert str(history("switching")) == "switching at 2026-03-01 12:00:00 UTC: readers may be on either side"
    assert str(history("switched")) == "switched at 2026-03-01 12:00:00 UTC, watch not passed"
    assert str(history("switched", "watch-passed")) == "switched at 2026-03-01 12:00:00 UTC, watch passed"
    assert str(history("switched", "retired")) == "retired at 2026-03-01 12:01:00 UTC"


@given(st.lists(st.sampled_from(get_args(Step))))
def test_readers_are_never_said_to_be_in_two_places(steps: list[Step]) -> None:
    found = history(*steps)
    assert found.switched is None or found.unclear is None
    assert not found.passed or found.switched is not None
