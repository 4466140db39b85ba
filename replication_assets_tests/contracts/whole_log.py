"""The contract of change sources whose log holds every table, and whose server knows nothing of what is
captured from it: what the contract says of things that `setup` makes in a source is said here of a source in
which nothing is made.
"""

from __future__ import annotations

from replication_assets_tests.contracts.change_source import ROWS, ChangeSourceContract, Following, told


class WholeLogContract(ChangeSourceContract):
    """`moves_by_itself`: the log goes on where nobody writes."""

    moves_by_itself = False

    def test_setup_tells_what_it_added_until_that_is_confirmed(self, following: Following) -> None:
        """Changes of every table are there from the position that setup tells: none was added."""
        place = following.place
        place.create("t", ROWS)
        t = following.table("t")
        wanted = [(t, place.source.reflect(t))]
        assert place.source.missing(wanted) == ()
        assert place.source.status().state == "available"
        first = place.source.setup(wanted)
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        second = place.source.setup(wanted)
        assert (first.added, second.added) == ((), ())
        assert first.start < second.start

    def test_teardown_leaves_nothing_and_writers_go_on(self, following: Following) -> None:
        """There is nothing to leave but a capture that runs."""
        place = following.place
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        with following.stream() as stream:
            next(iter(stream))
            assert place.source.remains() != ()
        place.source.teardown()
        place.source.teardown()
        assert place.source.remains() == ()
        place.execute("UPDATE t SET v = 2")
        assert place.rows("SELECT id, v FROM t") == [(1, 2)]

    def test_status_tells_what_is_waiting(self, following: Following) -> None:
        """How far capture is, is known to the event store alone."""
        place = following.place
        place.create("t", ROWS)
        following.declare("t")
        before = place.source.status()
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        now = place.source.status()
        assert now.head > before.head
        assert (now.confirmed, now.lag_bytes) == (None, None)
        following.drain()
        assert following.after == now.head or (self.moves_by_itself and following.after > now.head)
        with following.stream():
            assert place.source.status().active

    def test_a_table_that_left_the_capture_is_refused(self, following: Following) -> None:
        """Nothing in the source says so: its changes are there, like those of every table."""
        place = following.place
        place.create("t", ROWS)
        place.create("u", ROWS)
        following.declare("t")
        following.tables[following.table("u")] = place.source.reflect(following.table("u"))
        place.execute("INSERT INTO u VALUES (1, 1, 'a')")
        following.drain()
        assert told(following.chunks, following.table("u"), "id") == [("I", 1)]
