"""Reading ahead: order, bounds, errors and the end are those of the reader itself."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from replication_assets.errors import SourceUnavailable
from replication_assets.sources.postgres.read_ahead import ReadAhead
from replication_assets.sources.postgres.reading import Piece, Reader

LOST = SourceUnavailable("the connection was lost", where="here", fix="again")


class Numbered:
    """A reader of `pieces` pieces, told apart by their positions; then it ends, fails, or waits."""

    def __init__(self, pieces: int, *, error: Exception | None = None, waits: bool = False) -> None:
        self.ended = pieces == 0 and error is None and not waits
        self.read_so_far = 0
        self._pieces, self._error, self._waits = pieces, error, waits
        self._stopped = threading.Event()
        self.acknowledged: list[int] = []

    def read(self) -> Piece:
        if self.read_so_far == self._pieces:
            if self._error is not None:
                raise self._error
            self._stopped.wait()
            return Piece(bytearray(), [], None, None)
        self.read_so_far += 1
        self.ended = self.read_so_far == self._pieces and self._error is None and not self._waits
        return Piece(bytearray(), [], self.read_so_far, None)

    def stop(self) -> None:
        self._stopped.set()

    def acknowledge(self, commit: int) -> None:
        self.acknowledged.append(commit)


def ahead_of(reader: Numbered) -> ReadAhead:
    return ReadAhead(cast(Reader, reader))


def test_pieces_come_in_order_and_the_last_one_ends_the_stream() -> None:
    found = []
    with ahead_of(Numbered(100)) as ahead:
        while not ahead.ended:
            found.append(ahead.read().through)
    assert found == list(range(1, 101))


def test_a_stream_that_ended_before_it_began_is_not_read() -> None:
    reader = Numbered(0)
    with ahead_of(reader) as ahead:
        assert ahead.ended
    assert reader.read_so_far == 0


def test_no_more_than_two_pieces_are_read_ahead() -> None:
    reader = Numbered(50)
    with ahead_of(reader) as ahead:
        for taken in range(1, 51):
            ahead.read()
            assert reader.read_so_far <= taken + 2


def test_an_error_comes_after_the_pieces_that_were_read_before_it() -> None:
    with ahead_of(Numbered(3, error=LOST)) as ahead:
        assert [ahead.read().through for _ in range(3)] == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(SourceUnavailable, match="the connection was lost"):
                ahead.read()


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_stops_a_reader_that_waits_wherever_it_is(taken: int) -> None:
    reader = Numbered(3, waits=True)
    before = threading.active_count()
    with ahead_of(reader) as ahead:
        for _ in range(taken):
            ahead.read()
    assert threading.active_count() == before


def test_what_is_durable_is_acknowledged_while_the_reader_waits() -> None:
    reader = Numbered(1, waits=True)
    with ahead_of(reader) as ahead:
        ahead.read()
        ahead.acknowledge(1)
        assert reader.acknowledged == [1]
