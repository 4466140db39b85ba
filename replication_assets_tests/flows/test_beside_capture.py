"""What follows a flush runs beside the capture: told together what came meanwhile, and never forgotten."""

from __future__ import annotations

import datetime as dt
import threading

import pytest

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import TargetError
from replication_assets.flows.beside_capture import BesideCapture
from replication_assets.flows.capture import FlushReceipt
from replication_assets.ports import CellCount

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
ORDERS, PEOPLE = TableId("shop", "public", "orders"), TableId("shop", "public", "people")


def flush(commit: int, table: TableId, id_range: str, rows: int = 1) -> FlushReceipt:
    cells = (CellCount(id_range, NOON.date(), rows),)
    return FlushReceipt(Position(1, commit), NOON, NOON, {table: cells})


def rows_of(receipt: FlushReceipt) -> dict[tuple[TableId, str], int]:
    return {(table, cell.id_range): cell.rows for table, cells in receipt.tables.items() for cell in cells}


class Follower:
    """Waits at its first step until it may go on."""

    def __init__(self) -> None:
        self.seen: list[FlushReceipt] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def follow(self, receipt: FlushReceipt) -> None:
        self.seen.append(receipt)
        self.begun.set()
        assert self.go.wait(30)


def test_flushes_that_come_while_it_is_at_work_are_told_together_and_none_is_left_at_the_end() -> None:
    follower = Follower()
    with BesideCapture(follower.follow) as beside:
        beside.tell(flush(1, ORDERS, "r0"))
        assert follower.begun.wait(30)
        beside.tell(flush(2, ORDERS, "r0", 2))
        beside.tell(flush(3, ORDERS, "r1"))
        beside.tell(flush(4, PEOPLE, "r0"))
        beside.tell(flush(5, ORDERS, "r0", 3))
        follower.go.set()
    first, then = follower.seen
    assert first == flush(1, ORDERS, "r0")
    assert then.position == Position(1, 5)
    assert rows_of(then) == {(ORDERS, "r0"): 5, (ORDERS, "r1"): 1, (PEOPLE, "r0"): 1}


def capture_that_fails(follower: Follower) -> None:
    with BesideCapture(follower.follow) as beside:
        beside.tell(flush(1, ORDERS, "r0"))
        assert follower.begun.wait(30)
        beside.tell(flush(2, ORDERS, "r0"))
        threading.Timer(0.05, follower.go.set).start()
        raise RuntimeError("the stream broke")


def test_a_capture_that_fails_waits_for_what_has_begun_alone() -> None:
    follower = Follower()
    with pytest.raises(RuntimeError, match="the stream broke"):
        capture_that_fails(follower)
    assert [each.position.commit for each in follower.seen] == [1]


def refused(receipt: FlushReceipt) -> None:
    raise TargetError("no", where=str(receipt.position), fix="none")


def test_a_failure_is_raised_at_the_end_of_the_capture() -> None:
    with pytest.raises(TargetError), BesideCapture(refused) as beside:
        beside.tell(flush(1, ORDERS, "r0"))


def tell_until_refused(beside: BesideCapture) -> None:
    for commit in range(1, 1000):
        beside.tell(flush(commit, ORDERS, "r0"))
        threading.Event().wait(0.01)


def test_a_failure_is_raised_by_the_next_flush() -> None:
    with pytest.raises(TargetError), BesideCapture(refused) as beside:
        tell_until_refused(beside)
