"""What landed files tell as a source: every row once, at positions that stay, whenever a file lands."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from random import Random

import pytest

from replication_assets.core.dates import EventDates
from replication_assets.core.envelopes.types import spelled_column
from replication_assets.core.id_ranges import IdRange
from replication_assets.errors import CommitConflict, DecodeError, SlotLost, SourceError, SourceNotReady
from replication_assets.ports import ChangeChunk, LoadSlice
from replication_assets.sources.landed import stream as streams
from replication_assets_tests.sources.landed.landing import (
    FIRST,
    GADGETS,
    SECOND,
    THIRD,
    WIDGETS,
    Event,
    Landing,
    events,
    rows_of,
)


def test_full_load_comes_first_and_changes_follow_in_the_order_of_their_names(landing: Landing) -> None:
    landing.land(f"{SECOND}.csv", "U,1,c\nD,2,b\n")
    landing.land(f"{FIRST}.csv", "I,3,x\nU,1,b\n")
    landing.land("LOAD00000010.csv", "3,late\n")
    landing.land("LOAD0000000A.csv", "1,a\n2,b\n")
    found = events(landing.setup().drain())
    assert found == [
        ("I", 1, "a"),
        ("I", 2, "b"),
        ("I", 3, "late"),
        ("I", 3, "x"),
        ("U", 1, "b"),
        ("U", 1, "c"),
        ("D", 2, "b"),
    ]
    assert landing.drain() == []


def test_the_position_is_the_time_in_the_name_and_the_number_of_the_row(landing: Landing) -> None:
    landing.land(f"{FIRST}.csv", "I,1,a\nI,2,b\n")
    chunks = landing.setup().drain()
    number = 202611211030000000
    assert events(chunks, "_epoch", "_commit_position", "_sequence") == [(3, number, 1), (3, number, 2)]
    assert events(chunks, "_committed_at") == [(dt.datetime(2026, 11, 21, 10, 30, tzinfo=dt.UTC),)] * 2
    assert chunks[-1].through == number == landing.source.status().head


def test_date_partitions_and_gzip_are_read_like_any_other_file(landing: Landing) -> None:
    landing.land(f"shop/widgets/2026/11/21/{SECOND}.csv.gz", "U,1,b\n")
    landing.land(f"shop/widgets/2026/11/20/{FIRST}.csv.gz", "I,1,a\n")
    landing.land("shop/widgets/20261121/20261121-103300123.csv", "U,1,c\n")
    assert events(landing.setup().drain(), "name") == [("a",), ("b",), ("c",)]


def test_files_of_other_tables_and_hidden_ones_are_passed_over(landing: Landing) -> None:
    landing.land(f"shop/other/{FIRST}.csv", "I,1,a\n")
    landing.land(f"shop/widgets/.{FIRST}.csv.part", "I,1")
    landing.land("shop/widgets/_SUCCESS", "")
    landing.land("notes.txt/read/me", "")
    landing.land(f"{FIRST}.csv", "I,1,a\n")
    assert len(events(landing.setup().drain())) == 1


@pytest.mark.parametrize("name", [f"{FIRST}.json", "changes.csv", "manifest.parquet"])
def test_a_file_whose_name_tells_no_place_or_format_is_named(landing: Landing, name: str) -> None:
    landing.setup()
    landing.land(name, "I,1,a\n")
    with pytest.raises(SourceNotReady, match=f"shop/widgets/{name}"):
        landing.source.status()


def test_a_late_file_is_read_and_leaves_newer_changes_as_they_are(landing: Landing) -> None:
    landing.land(f"{FIRST}.csv", "I,1,a\nI,2,a\n")
    landing.land(f"{THIRD}.csv", "U,1,c\nD,2,\nI,9,z\n")
    found = events(landing.setup().drain())
    landing.land(f"{SECOND}.csv", "U,1,b\nU,2,b\nI,3,b\n")
    late = events(landing.drain())
    assert late == [("U", 1, "b"), ("U", 2, "b"), ("I", 3, "b"), ("U", 1, "c"), ("D", 2, None)]
    assert rows_of(found + late) == {1: "c", 3: "b", 9: "z"}


def test_a_late_full_load_file_does_not_undo_changes(landing: Landing) -> None:
    landing.land("LOAD00000001.csv", "1,a\n")
    landing.land(f"{FIRST}.csv", "D,2,\nU,3,new\n")
    found = events(landing.setup().drain())
    landing.land("LOAD00000002.csv", "2,old\n3,old\n4,old\n")
    assert rows_of(found + events(landing.drain())) == {1: "a", 3: "new", 4: "old"}


@pytest.mark.parametrize("seed", range(3))
def test_files_in_any_order_of_arrival_end_in_the_same_rows(landing: Landing, seed: int) -> None:
    random = Random(seed)
    texts, expected = _history(random, files=8)
    landing.setup()
    found: list[Event] = []
    order = list(texts)
    random.shuffle(order)
    for number, name in enumerate(order):
        landing.land(name, texts[name])
        if number % 2 or number + 1 == len(order):
            found += events(landing.drain())
    assert rows_of(found) == expected


def _history(random: Random, files: int) -> tuple[dict[str, str], dict[int, str]]:
    """Full-load and change files by name, and what they make of the table."""
    rows = dict.fromkeys(range(8), "load")
    texts = {f"LOAD{number:08X}.csv": f"{2 * number},load\n{2 * number + 1},load\n" for number in range(4)}
    for minute in range(files):
        lines = []
        for at in range(6):
            key, value = random.randrange(12), f"{minute}.{at}"
            if key in rows and random.random() < 0.3:
                del rows[key]
                lines.append(f"D,{key},\n")
            else:
                lines.append(f"{'U' if key in rows else 'I'},{key},{value}\n")
                rows[key] = value
        texts[f"20261121-11{minute:02}000000.csv"] = "".join(lines)
    return texts, rows


def test_rows_that_a_restart_of_dms_wrote_again_are_removed(landing: Landing) -> None:
    landing.land(f"{FIRST}.csv", "I,1,a\nI,2,b\n")
    landing.land(f"{SECOND}.csv", "U,1,c\nD,2,b\n")
    found = events(landing.setup().drain())
    landing.land(f"{THIRD}.csv", "I,2,b\nU,1,c\nD,2,b\nI,7,n\n")
    again = events(landing.drain(), "_op", "id", "name", "_sequence")
    assert again == [("I", 7, "n", 4)]
    assert len(found) == 4


def test_repeated_rows_are_removed_over_several_files_of_one_capture(landing: Landing) -> None:
    landing.land(f"{FIRST}.csv", "I,1,a\nI,2,b\nU,1,c\nD,2,b\n")
    landing.land(f"{SECOND}.csv", "I,2,b\nU,1,c\n")
    landing.land(f"{THIRD}.csv", "D,2,b\nI,7,n\n")
    assert events(landing.setup().drain())[4:] == [("I", 7, "n")]


def test_the_same_change_that_is_no_repetition_is_kept(landing: Landing) -> None:
    landing.land(f"{FIRST}.csv", "I,1,a\nU,1,b\nU,1,a\n")
    landing.land(f"{SECOND}.csv", "U,1,b\nU,1,c\n")
    assert [name for _, _, name in events(landing.setup().drain())] == ["a", "b", "a", "b", "c"]


def test_what_was_not_durable_comes_again_at_the_same_positions(landing: Landing) -> None:
    where = ("_op", "id", "name", "_commit_position", "_sequence")
    landing.setup()
    landing.land(f"{FIRST}.csv", "I,1,a\nI,2,b\n")
    first = events(landing.drain(durable=False), *where)
    landing.land(f"{SECOND}.csv", "U,1,b\nI,2,b\n")
    landing.land("LOAD00000001.csv", "1,x\n")
    again = landing.drain(durable=False)
    assert events(again, *where)[:2] == first
    assert events(landing.drain(), *where) == events(again, *where)
    assert landing.drain() == []


def test_blocks_are_cut_by_the_number_of_files(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_FILES", 2)
    for minute in range(5):
        landing.land(f"20261121-10{minute:02}000000.csv", f"U,1,{minute}\n")
    chunks = landing.setup().drain()
    assert [each.through is not None for each in chunks] == [False, False, True] * 2 + [False, True]
    assert [name for (name,) in events(chunks, "name")] == ["0", "1", "2", "3", "4"]


def test_the_second_of_two_captures_is_refused(landing: Landing) -> None:
    landing.setup()
    with landing.stream() as first, landing.stream() as second:
        one, other = iter(first), iter(second)
        landing.land(f"{FIRST}.csv", "I,1,a\n")
        assert events([next(one)]) == [("I", 1, "a")]
        landing.land(f"{SECOND}.csv", "I,2,a\n")
        with pytest.raises(CommitConflict):
            next(other)


def test_an_idle_stream_speaks_up_and_sees_files_that_land(landing: Landing) -> None:
    landing.setup()
    spoke: list[ChangeChunk] = []
    with landing.stream(stop=lambda: bool(events(spoke))) as stream:
        for chunk in stream:
            if not spoke:
                landing.land(f"{FIRST}.csv", "I,1,a\n")
            spoke.append(chunk)
    assert (spoke[0].batches, spoke[0].through) == ((), 0)
    assert events(spoke) == [("I", 1, "a")]


def test_status_moves_with_every_file_and_tells_what_waits(landing: Landing) -> None:
    landing.setup()
    before = landing.source.status()
    assert (before.head, before.lag_bytes, before.state) == (0, 0, "reserved")
    landing.land(f"{SECOND}.csv", "I,1,a\n")
    moved = landing.source.status()
    assert (moved.lag_bytes, moved.confirmed) == (6, 0)
    landing.drain()
    assert landing.source.status().head == moved.head
    landing.land(f"{FIRST}.csv", "I,1,a\n")
    assert landing.source.status().head > moved.head


def test_a_file_that_is_written_again_after_it_was_read_is_named(landing: Landing) -> None:
    landing.setup()
    path = landing.land(f"{FIRST}.csv", "I,1,a\n")
    landing.drain()
    path.write_text("I,1,b\n")
    os.utime(path, (1_800_000_000, 1_800_000_000))
    with pytest.raises(DecodeError, match=f"{FIRST}.csv: the file was written again.*recover"):
        landing.source.status()
    landing.source.teardown()
    assert landing.source.status().state == "missing"
    assert landing.source.remains() == ()
    assert events(landing.setup().drain()) == [("I", 1, "b")]


def test_files_that_were_read_may_go(landing: Landing) -> None:
    landing.setup()
    path = landing.land(f"{FIRST}.csv", "I,1,a\n")
    landing.drain()
    path.unlink()
    landing.land(f"{SECOND}.csv", "U,1,b\n")
    assert events(landing.drain()) == [("U", 1, "b")]


def test_a_table_that_is_declared_later_has_lost_nothing(landing: Landing) -> None:
    landing.setup()
    landing.land(f"shop/gadgets/{FIRST}.csv", "I,1,g\n")
    landing.land(f"{SECOND}.csv", "I,1,w\n")
    landing.drain()
    both = landing.after
    landing.setup(WIDGETS, GADGETS)
    landing.after = both
    assert events(landing.drain(), table=GADGETS) == [("I", 1, "g")]


def test_a_table_that_was_not_set_up_is_refused(landing: Landing) -> None:
    landing.setup()
    landing.schemas[GADGETS] = landing.source.reflect(GADGETS, key=["id"])
    with pytest.raises(SourceNotReady, match=r"gadgets is not captured"), landing.stream():
        pass


def test_a_position_that_the_journal_does_not_know_is_refused(landing: Landing) -> None:
    landing.setup()
    landing.after = 12
    with pytest.raises(SlotLost, match="position 12"), landing.stream():
        pass


def test_a_load_reads_nothing_and_says_where_the_files_begin(landing: Landing) -> None:
    landing.setup()
    schema = landing.schemas[WIDGETS]
    dates = EventDates(None, "day", dt.date(2026, 1, 1))
    request = LoadSlice(WIDGETS, schema, "id", IdRange("r000000", 0, None, None), dates)
    with landing.source.load(request) as load:
        assert (load.commit, load.columns, list(load)) == (0, schema.columns, [])
    with pytest.raises(SourceError, match="no rows to hold"):
        landing.source.digests(WIDGETS, schema, "id", [])


def test_a_key_and_its_type_must_be_known(landing: Landing) -> None:
    with pytest.raises(SourceNotReady, match="Fix: declare it"):
        landing.source.reflect(WIDGETS)
    landing.columns = {}
    landing.root.mkdir()
    with pytest.raises(SourceNotReady, match="key column id"):
        landing.source.reflect(WIDGETS, key=["id"])


def test_a_column_of_another_type_than_before_is_refused(landing: Landing) -> None:
    landing.setup()
    columns = (spelled_column("id bigint"), spelled_column("name bytea"))
    landing.schemas[WIDGETS] = replace(landing.schemas[WIDGETS], columns=columns)
    with pytest.raises(SourceNotReady, match="'name' is declared as text"), landing.stream():
        pass


def test_a_folder_that_is_not_there_is_told(landing: Landing) -> None:
    with pytest.raises(SourceNotReady, match="there is no such folder"):
        landing.source.status()
