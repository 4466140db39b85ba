"""Transactions come out as they took effect, whatever is undone, spilled or ended beside them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.errors import DecodeError, SlotLost
from replication_assets.sources.oracle.logminer.log_files import LogFile, Thread, covering
from replication_assets.sources.oracle.logminer.log_rows import (
    COMMIT,
    DELETE,
    INSERT,
    ROLLBACK,
    START,
    UPDATE,
    LogRow,
)
from replication_assets.sources.oracle.logminer.transactions import Assembler


def row(scn: int, xid: str, code: int, redo: str = "", **changed: Any) -> LogRow:
    given: dict[str, Any] = {
        "scn": scn,
        "thread": 1,
        "rs_id": f"{scn:018x}",
        "ssn": 0,
        "xid": xid,
        "code": code,
        "undoes": False,
        "status": 0,
        "owner": "S",
        "table": "T",
        "object": 7,
        "row_id": "AAA",
        "written": 0,
        "redo": redo,
    }
    return LogRow(**{**given, **changed})


def told(rows: list[LogRow], **given: Any) -> list[tuple[str, list[str]]]:
    """Transactions in the order of their commits, with the statements that took effect."""
    assembler, found = Assembler(**given), []
    with closing(assembler):
        for group in assembler.committed(rows):
            for each in group:
                assert each.whole is not None
                with closing(each.whole):
                    found.append((each.xid, [change.redo for change in each.whole.changes()]))
    return found


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["write", "write", "write", "undo", "commit", "rollback"])),
    max_size=60,
)


@given(STEPS, st.sampled_from([0, 200, 10**9]))
def test_what_took_effect_is_told_whole_in_the_order_of_commits(
    steps: list[tuple[int, str]], memory: int
) -> None:
    """Held against a plain model: a list of statements for each transaction."""
    rows: list[LogRow] = []
    model: dict[str, list[tuple[int, str]]] = {}
    wanted: list[tuple[str, list[str]]] = []
    generation = 0
    for scn, (who, what) in enumerate(steps, start=1):
        xid = f"{who:08X}{generation:08X}"
        if what == "write" or (what == "undo" and not model.get(xid)):
            if xid not in model:
                model[xid] = []
                rows.append(row(scn, xid, START))
            model[xid].append((scn, f"statement {scn}, é"))
            rows.append(row(scn, xid, INSERT, f"statement {scn}, é", row_id=f"R{scn}"))
        elif what == "undo":
            undone, _ = model[xid].pop()
            rows.append(row(scn, xid, DELETE, "", row_id=f"R{undone}", undoes=True))
        elif xid in model:
            kept = [text for _, text in model.pop(xid)]
            rows.append(row(scn, xid, COMMIT if what == "commit" else ROLLBACK))
            generation += 1
            if what == "commit":
                wanted.append((xid, kept))
    assert told(rows, memory_bytes=memory) == wanted


def test_rows_of_one_statement_are_undone_in_any_order() -> None:
    rows = [row(1, "X", START)]
    rows += [row(2, "X", INSERT, f"i{each}", row_id=f"R{each}") for each in range(3)]
    rows += [row(3, "X", DELETE, "", row_id=f"R{each}", undoes=True) for each in (0, 1)]
    assert told([*rows, row(4, "X", COMMIT)]) == [("X", ["i2"])]


def test_what_undoes_nothing_is_an_error() -> None:
    rows = [row(1, "X", START), row(2, "X", INSERT, "i"), row(3, "X", UPDATE, "u", undoes=True)]
    with pytest.raises(DecodeError, match="takes back a change that it did not make"):
        told(rows)


def test_a_transaction_without_bound_is_refused_by_name() -> None:
    rows = [row(1, "X", START), *(row(2, "X", INSERT, "i") for _ in range(4))]
    with pytest.raises(DecodeError, match="transaction X has more than 3 changes"):
        told(rows, max_rows=3)


def test_rows_whose_transaction_is_told_in_part_belong_to_the_one_of_their_slot() -> None:
    xid = "0A000B0000000C0D"
    rows = [row(1, xid, START), row(2, "0A000B00FFFFFFFF", INSERT, "i"), row(3, xid, COMMIT)]
    assert told(rows) == [(xid, ["i"])]


def test_a_commit_without_a_beginning_is_told_to_be_incomplete() -> None:
    (group,) = Assembler().committed([row(1, "X", INSERT, "i"), row(2, "X", COMMIT)])
    assert [each.whole for each in group] == [None]


def test_commits_of_one_scn_come_together_in_an_order_of_their_own() -> None:
    rows = [row(1, xid, START) for xid in "CBA"]
    rows += [row(9, "C", COMMIT, thread=2), row(9, "B", COMMIT, rs_id="2"), row(9, "A", COMMIT, rs_id="1")]
    (group,) = Assembler().committed([*rows, row(10, "D", START)])
    assert [each.xid for each in group] == ["A", "B", "C"]


# --- files ----------------------------------------------------------------------------------


def file(thread: int, sequence: int, first: int, after: int) -> LogFile:
    return LogFile(f"/{thread}/{sequence}", thread, sequence, first, after, True)


def test_files_cover_a_stretch_of_every_thread_or_what_is_lost_is_named() -> None:
    files = [file(1, 1, 0, 100), file(1, 2, 100, 200), file(2, 1, 50, 200)]
    one, two = Thread(1, True, 200, 0), Thread(2, True, 200, 50)
    assert covering(files, [one, two], 20, 150, "w") == files
    assert covering(files, [one, two], 120, 150, "w") == files[1:]
    with pytest.raises(SlotLost, match="thread 1 from SCN 100 to 150"):
        covering([files[0], files[2]], [one, two], 20, 150, "w")
    with pytest.raises(SlotLost, match="thread 2 from SCN 50 to 150"):
        covering(files[:2], [one, two], 20, 150, "w")
    with pytest.raises(SlotLost, match="thread 1 from SCN 100 to 119"):
        covering([files[0], file(1, 3, 120, 200), files[2]], [one, two], 20, 150, "w")
    # One that is closed wrote nothing more, one that was enabled later nothing before.
    assert covering(files[:2], [one, Thread(2, False, 60, 50)], 70, 150, "w") == files[:2]
    with pytest.raises(SlotLost, match="no file"):
        covering([], [], 1, 2, "w")
