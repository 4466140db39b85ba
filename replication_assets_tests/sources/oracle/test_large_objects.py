"""Large objects are captured as the rows that transactions leave behind, whatever the log shows of their
pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from replication_assets.core.controls import SchemaChanged
from replication_assets.errors import SourceNotReady, SourceUnavailable
from replication_assets.ports import ChangeChunk
from replication_assets.sources.oracle.connection import server_error
from replication_assets.sources.oracle.logminer import looking_back, touched_rows
from replication_assets.sources.oracle.logminer.stream import open_changes
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog
from replication_assets_tests.contracts.change_source import events
from replication_assets_tests.sources.oracle.documents import (
    COLUMNS,
    ERASE,
    LOCATOR,
    STORED,
    TRIM,
    WRITE,
    Document,
    Documents,
    Writing,
    delete,
    insert,
    keyed,
    locator,
    piece,
    update,
)
from replication_assets_tests.sources.oracle.recorded import KEY, TABLE, RecordedServer, column
from replication_assets_tests.sources.oracle.redo_log import FIRST

ONE = Document(1, "one", "a long text", b"\x00\xff", "R1")
TWO = Document(2, None, None, None, "R2")
NAMES = ("ID", "TITLE", "BODY", "DATA")


def drain(documents: Documents, server: RecordedServer | None = None) -> list[ChangeChunk]:
    server = server or documents.server()
    source = OracleSource("erp", server)
    tables = [(TABLE, source.reflect(TABLE))]
    with source.changes(tables, epoch=3, after=FIRST, upto=documents.redo.scn, stop=lambda: False) as stream:
        return list(stream)


def told(chunks: list[ChangeChunk]) -> list[tuple[Any, ...]]:
    return [(row["_op"], *(row[name] for name in NAMES)) for row in events(chunks, TABLE)]


def reloads(chunks: list[ChangeChunk]) -> list[SchemaChanged]:
    return [change for chunk in chunks for _, _, change in chunk.schema_changes]


def everything(key: int) -> bool:
    return True


# --- any transactions -----------------------------------------------------------------------

BODIES = st.sampled_from([None, "", "short", "it's", "é" * 50])
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(
            [
                *("add", "add", "write", "write", "title", "title", "move", "shift", "remove", "again"),
                *("back", "back", "commit", "commit", "rollback"),
            ]
        ),
        st.integers(0, 4),
        st.sampled_from(["inline", "update", "pieces", "blocks"]),
        st.sampled_from(["update", "pieces", "quiet"]),
        BODIES,
    ),
    min_size=15,
    max_size=40,
)


class Writers:
    """Two sessions, each with keys of its own."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.open: dict[int, Writing] = {}

    @staticmethod
    def owned(who: int) -> Callable[[int], bool]:
        return lambda key: key // 100 == who

    def step(self, who: int, what: str, number: int, how: str, undone: str, body: str | None) -> None:
        documents, owned = self.documents, self.owned(who)
        one = self.open.get(who)
        if one is None:
            one = self.open[who] = documents.begin()
            one.rows = {at: row for at, row in documents.history[-1][1].items() if owned(row.key)}
        if what in ("commit", "rollback"):
            del self.open[who]
            if what == "commit":
                documents.commit(one, owned)
            else:
                documents.redo.rollback(one.xid)
            return
        if what == "back":
            documents.take_back(one, number % 3 + 1)
            return
        key = who * 100 + number
        row = next((each for each in one.rows.values() if each.key == key), None)
        self._write(one, what, key, row, how, undone, body)

    def _write(
        self, one: Writing, what: str, key: int, row: Document | None, how: str, undone: str, body: str | None
    ) -> None:
        documents = self.documents
        data = None if body is None else body.encode()
        if row is None:
            if what == "add":
                documents.add(one, Document(key, f"title {key}", body, data), how)
            return
        if what == "write":
            documents.write(one, row, body, data, how, undone)
        elif what == "title":
            title = None if body is None else f"{body}!"
            assigned = '"TITLE" = ' + ("NULL" if title is None else "'" + title.replace("'", "''") + "'")
            documents.change(one, row, replace(row, title=title), assigned)
        elif what == "move" and not any(each.key == key + 50 for each in one.rows.values()):
            documents.change(one, row, replace(row, key=key + 50), f"\"ID\" = '{key + 50}'")
        elif what == "shift":
            # UPDATE ... SET ID = ID + 1: keys are unique at the end of the statement alone.
            for each in sorted(one.rows.values(), key=lambda each: each.key):
                documents.change(one, each, replace(each, key=each.key + 1), f"\"ID\" = '{each.key + 1}'")
        elif what == "remove":
            documents.remove(one, row)
        elif what == "again":
            documents.remove(one, row)
            # Room that a transaction freed, it may use again.
            documents.add(one, replace(row, title="again", body=body, data=data), how)


@settings(max_examples=30, deadline=None, phases=[Phase.generate])
@given(STEPS)
def test_each_commit_leaves_the_rows_that_a_load_at_its_scn_would_read(steps: list[Any]) -> None:
    documents = Documents()
    there = [Document(key, f"title {key}", "body", b"data", f"A{key}") for key in (0, 1, 2, 100, 101)]
    documents.history.append((FIRST - 10, {row.address: row for row in there}))
    writers = Writers(documents)
    for step in steps:
        writers.step(*step)
    chunks = drain(documents)
    asked = {change.position.commit for change in reloads(chunks)}
    # A key that was moved and moved back counts as gone from two places: it is said, not guessed.
    assert all(documents.disturbed[commit] for commit in asked)
    found = events(chunks, TABLE)
    for (before_at, _), (at, _) in pairwise(documents.history[1:]):
        before, after = documents.as_of(before_at), documents.as_of(at)
        of_commit = [row for row in found if row["_commit_position"] == at]
        if at in asked:
            continue
        assert len({row["ID"] for row in of_commit}) == len(of_commit)
        made = {key: row.values for key, row in before.items()}
        for row in of_commit:
            key = row["ID"]
            assert row["_op"] == {(0, 1): "I", (1, 1): "U", (1, 0): "D"}[(key in before, key in after)]
            if row["_op"] == "D":
                del made[key]
                assert documents.disturbed[at] or row["TITLE"] == before[key].title
                continue
            made[key] = tuple(row[name] for name in NAMES)
            if row["_op"] == "U":
                changed = before[key].title != after[key].title
                exact = {"TITLE": before[key].title} if changed else {}
                # Of what a rollback to a savepoint touched, the old row is not told.
                assert json.loads(row["_before"]) in ([exact, {}] if documents.disturbed[at] else [exact])
        assert made == {key: row.values for key, row in after.items()}
        places = [(row["_sequence"], row["_op"] != "D") for row in of_commit]
        assert places == sorted(places)


# --- one after the other --------------------------------------------------------------------


def stored() -> Documents:
    """Two rows, from before the capture."""
    documents = Documents()
    documents.history.append((FIRST - 10, {each.address: each for each in (ONE, TWO)}))
    return documents


def writing(documents: Documents) -> Writing:
    one = documents.begin()
    one.rows = dict(documents.history[-1][1])
    return one


def test_an_update_of_another_column_has_the_large_objects_that_are_there() -> None:
    documents = stored()
    one = writing(documents)
    documents.change(one, ONE, replace(ONE, title="new"), "\"TITLE\" = 'new'")
    documents.commit(one, everything)
    (event,) = events(drain(documents), TABLE)
    assert (event["_op"], event["BODY"], event["DATA"]) == ("U", "a long text", b"\x00\xff")
    assert (event["_before"], event["_unchanged"]) == ('{"TITLE":"one"}', None)


def test_a_large_object_that_alone_was_written_is_told_with_its_row() -> None:
    documents = stored()
    one = writing(documents)
    documents.write(one, ONE, "a text", b"\x01", "pieces", "quiet")
    documents.commit(one, everything)
    (event,) = events(drain(documents), TABLE)
    assert told(drain(documents)) == [("U", 1, "one", "a text", b"\x01")]
    assert event["_before"] == "{}"


def test_later_transactions_do_not_show_in_the_event_of_an_earlier_one() -> None:
    documents = stored()
    for body in ("first", "second"):
        one = writing(documents)
        row = one.rows["R1"]
        documents.write(one, row, body, row.data, "pieces", "quiet")
        documents.commit(one, everything)
    one = writing(documents)
    documents.remove(one, one.rows["R1"])
    documents.commit(one, everything)
    assert [row[:4] for row in told(drain(documents))] == [
        ("U", 1, "one", "first"),
        ("U", 1, "one", "second"),
        ("D", 1, "one", None),
    ]


def test_keys_that_move_one_into_another_are_each_told_once() -> None:
    """UPDATE ... SET ID = ID + 1: for a moment two rows have one key."""
    documents = stored()
    one = writing(documents)
    documents.change(one, ONE, replace(ONE, key=2), "\"ID\" = '2'")
    documents.change(one, TWO, replace(TWO, key=3), "\"ID\" = '3'")
    documents.commit(one, everything)
    found = events(drain(documents), TABLE)
    assert [(row["_op"], row["ID"], row["BODY"], row["_sequence"], row["_before"]) for row in found] == [
        ("D", 1, None, 1, None),
        ("U", 2, "a long text", 1, '{"TITLE":null}'),
        ("I", 3, None, 2, None),
    ]


def test_a_row_that_was_refused_and_taken_back_is_not_taken_for_the_one_that_is_deleted() -> None:
    """An insert of a key that is there is in the log, and what takes it back as well."""
    documents = stored()
    one = writing(documents)
    refused = Document(1, "refused", None, None, "R9")
    documents.log(one, 1, insert(refused), "R9")
    documents.log(one, 3, update(refused, "\"BODY\" = 'x'"), "R9")
    documents.log(one, 3, "", "R9", UNDOES=1)
    documents.log(one, 2, delete(refused), "R9", UNDOES=1)
    documents.remove(one, ONE)
    documents.commit(one, everything)
    assert told(drain(documents)) == [("D", 1, "one", None, None)]


@pytest.mark.parametrize("how", ["update", "pieces", "blocks"])
def test_an_insert_that_was_taken_back_with_its_large_objects_is_not_told(how: str) -> None:
    documents = stored()
    one = writing(documents)
    documents.add(one, Document(7, "gone", "gone", b"gone"), how)
    documents.take_back(one, 2)
    row = one.rows["R1"]
    documents.write(one, row, "kept", None, how, "quiet")
    documents.commit(one, everything)
    chunks = drain(documents)
    assert told(chunks) == [("U", 1, "one", "kept", None)]
    assert reloads(chunks) == []


def test_the_row_of_before_is_not_told_where_changes_were_taken_back() -> None:
    """The statement that took the row away tells what it was then, not what it was before."""
    documents = stored()
    one = writing(documents)
    now = replace(ONE, title="meanwhile")
    documents.change(one, ONE, now, "\"TITLE\" = 'meanwhile'")
    documents.remove(one, now)
    documents.add(one, replace(ONE, title="again"), "inline")
    documents.add(one, Document(8, None, None, None), "inline")
    documents.take_back(one, 1)
    documents.commit(one, everything)
    (event,) = events(drain(documents), TABLE)
    assert (event["_op"], event["TITLE"], event["_before"]) == ("U", "again", "{}")


def test_many_rows_are_read_some_at_a_time() -> None:
    documents = Documents()
    one = documents.begin()
    for key in range(40):
        documents.add(one, Document(key, f"t{key}", f"body {key}", None), "pieces")
    documents.commit(one, everything)
    server = documents.server()
    chunks = drain(documents, server)
    assert told(chunks) == [("I", key, f"t{key}", f"body {key}", None) for key in range(40)]
    reads = [binds for statement, binds in server.ran if "AS OF SCN" in statement and "k0_0" in binds]
    assert [len(binds) - 1 for binds in reads] == [16, 16, 8]


def test_rows_of_one_transaction_come_in_bounded_chunks() -> None:
    documents = Documents()
    one = documents.begin()
    for key in range(40):
        documents.add(one, Document(key, f"t{key}", f"body {key}", None), "inline")
    at = documents.commit(one, everything)
    server = documents.server()
    tables = [(TABLE, OracleSource("erp", server).reflect(TABLE))]
    with open_changes(
        server, "erp", tables, epoch=3, after=FIRST, upto=at, stop=lambda: False, chunk_bytes=1
    ) as stream:
        chunks = list(stream)
    assert [sum(batch.rows.num_rows for batch in chunk.batches) for chunk in chunks] == [16, 16, 8, 0]
    assert [chunk.through for chunk in chunks] == [None, None, None, at]
    assert [row[1] for row in told(chunks)] == list(range(40))


def test_a_transaction_from_before_the_capture_is_read_whole_with_what_it_took_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking_back, "OVERLAP_SCNS", 0)
    documents = stored()
    one = writing(documents)
    documents.write(one, ONE, "taken back", None, "pieces", "update")
    documents.take_back(one, 1)
    documents.write(one, ONE, "kept", None, "pieces", "quiet")
    after = documents.redo.scn
    documents.commit(one, everything)
    server = documents.server()
    tables = [(TABLE, OracleSource("erp", server).reflect(TABLE))]
    with open_changes(
        server, "erp", tables, epoch=3, after=after, upto=documents.redo.scn, stop=lambda: False
    ) as stream:
        assert told(list(stream)) == [("U", 1, "one", "kept", None)]


@pytest.mark.parametrize("number", [1555, 22924, 30052, 8181, 1466, 904])
def test_rows_that_cannot_be_read_any_more_ask_for_a_load(number: int) -> None:
    documents = stored()
    one = writing(documents)
    documents.write(one, ONE, "x", None, "pieces", "quiet")
    at = documents.commit(one, everything)
    server = documents.server()
    for statement in list(server.answers):
        if ":k0_0" in statement:
            server.answers[statement] = server_error(number, "erp")
    chunks = drain(documents, server)
    (change,) = reloads(chunks)
    assert (change.reload, change.position.commit) == (True, at)
    assert f"ORA-{number:05d}" in change.reason
    assert "UNDO_RETENTION" in change.reason
    assert told(chunks) == []


def test_a_connection_that_is_lost_while_rows_are_read_ends_the_capture() -> None:
    documents = stored()
    one = writing(documents)
    documents.write(one, ONE, "x", None, "pieces", "quiet")
    documents.commit(one, everything)
    lost: dict[str, Any] = {
        statement: server_error(3113, "erp")
        for statement in documents.server().answers
        if "k0_0" in statement
    }
    with pytest.raises(SourceUnavailable, match="ORA-03113"):
        drain(documents, documents.server(**lost))


Wrote = Callable[[Documents, Writing], None]


def _log(*steps: tuple[int, str]) -> Wrote:
    def write(documents: Documents, one: Writing) -> None:
        for code, text in steps:
            documents.log(one, code, text, "R1")

    return write


def _undo(code: int) -> Wrote:
    return lambda documents, one: documents.log(one, code, "", "R9", UNDOES=1)


@pytest.mark.parametrize(
    ("wrote", "reason"),
    [
        (_log((WRITE, piece(WRITE))), "does not name"),
        (_log((LOCATOR, locator(ONE)), (LOCATOR, ""), (WRITE, piece(WRITE))), "does not name"),
        (
            _log((LOCATOR, locator(ONE)), (3, update(ONE, '"DATA" = NULL')), (TRIM, piece(TRIM))),
            "does not name",
        ),
        (_log((WRITE, "")), "not of the known form"),
        (_log((ERASE, "dbms_lob.fragment_delete(loc_c, 1, 2);")), "not of the known form"),
        (_log((LOCATOR, locator(ONE) + "select 1 from dual;")), "not of the known form"),
        (_log((LOCATOR, locator(ONE).replace('"ORDERS"', '"OTHERS"'))), "another table"),
        (_log((LOCATOR, locator(ONE).replace("\"ID\" = '1'", '"ID" IS NULL'))), "key column ID"),
        (_log((LOCATOR, locator(ONE).replace('"TITLE"', '"OTHER"'))), "does not have"),
        (_log((LOCATOR, locator(ONE).replace("'1'", "HEXTORAW('c102')"))), "another type"),
        (_log((LOCATOR, locator(replace(ONE, key=7)))), "not there"),
        (_log((3, update(replace(ONE, key=7), '"BODY" = EMPTY_CLOB()'))), "not there"),
        (_log((1, insert(replace(ONE, key=7)))), "do not follow"),
        (_log((1, insert(ONE)), (1, insert(ONE))), "do not follow"),
        (_log((2, delete(ONE))), "do not follow"),
        (_log((2, 'delete from "SALES"."ORDERS" where "ID" = \'9\'')), "what row was deleted"),
        (_log((3, 'update "SALES"."ORDERS" set "BODY" = \'x\' where ROWID = \'AAA\'')), "nothing known"),
        (_log((3, insert(ONE))), "another operation"),
        (_log((255, "Unsupported")), "does not support"),
        (_log((68, "XML DOC BEGIN: ...")), "does not support"),
        (_undo(2), "does not support"),
    ],
)
def test_what_does_not_name_its_row_or_does_not_fit_asks_for_a_load(wrote: Wrote, reason: str) -> None:
    documents = stored()
    one = writing(documents)
    wrote(documents, one)
    at = documents.commit(one, everything)
    chunks = drain(documents)
    (change,) = reloads(chunks)
    assert change.reload
    assert change.position.commit == at
    assert reason in change.reason
    assert told(chunks) == []


def test_a_transaction_of_very_many_rows_asks_for_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched_rows.TouchedRows.__init__, "__kwdefaults__", {"max_keys": 3})
    documents = Documents()
    one = documents.begin()
    for key in range(4):
        documents.add(one, Document(key, "t", None, None), "inline")
    documents.commit(one, everything)
    (change,) = reloads(drain(documents))
    assert "more than 3 rows" in change.reason


def test_no_value_is_told_with_what_could_not_be_read() -> None:
    documents = stored()
    one = writing(documents)
    documents.log(one, LOCATOR, locator(replace(ONE, title="secret")) + "secret", "R1")
    documents.commit(one, everything)
    (change,) = reloads(drain(documents))
    assert "secret" not in change.reason


# --- what capture needs ---------------------------------------------------------------------


def missing(columns: list[Any] = COLUMNS, key: tuple[str, ...] = (), **changed: Any) -> tuple[str, ...]:
    server = Documents().server(columns, **changed)
    source = OracleSource("erp", server)
    return source.missing([(TABLE, source.reflect(TABLE, key=key))])


def test_a_table_with_large_objects_and_a_key_needs_nothing_more() -> None:
    assert missing() == ()


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("ADD PRIMARY KEY", {catalog.CONSTRAINTS: []}),
        (
            'ALTER TABLE "SALES"."ORDERS" MODIFY LOB ("BODY") (NOCACHE LOGGING)',
            {catalog.LARGE_OBJECTS: [("BODY", "NO", "YES"), *STORED]},
        ),
        (
            'MOVE LOB ("DATA") STORE AS SECUREFILE (ENABLE STORAGE IN ROW)',
            {catalog.LARGE_OBJECTS: [*STORED, ('"DATA"', "NONE", "NO")]},
        ),
    ],
)
def test_what_large_objects_lack_is_told_with_what_mends_it(told: str, given: dict[str, Any]) -> None:
    (problem,) = missing(**given)
    assert told in problem
    documents = Documents()
    with pytest.raises(SourceNotReady):
        drain(documents, documents.server(**given))


def test_forced_logging_writes_large_objects_to_the_log_as_well() -> None:
    head = (4711, 1_000, 500_000, "ARCHIVELOG", "YES", "NO", "NO", "NO", "READ WRITE", "YES")
    given: dict[str, Any] = {catalog.DATABASE: [head], catalog.LARGE_OBJECTS: [("BODY", "NO", "YES")]}
    assert missing(**given) == ()


def test_a_key_must_be_unique_and_of_types_that_rows_are_found_by() -> None:
    (problem,) = missing(key=("TITLE",))
    assert "no enabled PRIMARY KEY or UNIQUE constraint" in problem
    unique: list[Any] = [
        *KEY,
        ("U_TITLE", "U", "TITLE", None, None, None, None, "NOT DEFERRABLE", "IMMEDIATE"),
    ]
    assert missing(key=("TITLE",), **{catalog.CONSTRAINTS: unique}) == ()
    (problem,) = missing(
        key=("TITLE",), **{catalog.CONSTRAINTS: unique, catalog.CHARACTER_SET: [("WE8ISO8859P1",)]}
    )
    assert "without loss" in problem
    zoned = [column("ID", "TIMESTAMP(6) WITH TIME ZONE", nullable=False), *COLUMNS[1:]]
    (problem,) = missing(zoned)
    assert "cannot be found by ID" in problem


def test_a_column_that_makes_a_table_one_with_large_objects_is_looked_at() -> None:
    documents = Documents()
    server = documents.server()
    before = replace(OracleSource("erp", server).reflect(TABLE), key=())
    narrow = replace(before, columns=before.columns[:2])
    one = documents.begin()
    documents.redo.ddl(one.xid, "ALTER TABLE orders ADD (body CLOB, data BLOB)")
    documents.redo.commit(one.xid)
    source = OracleSource("erp", server)
    with (
        source.changes(
            [(TABLE, narrow)], epoch=3, after=FIRST, upto=documents.redo.scn, stop=lambda: False
        ) as stream,
        pytest.raises(SourceNotReady, match="takes a key"),
    ):
        list(stream)


def test_the_query_for_rows_binds_every_key() -> None:
    source = OracleSource("erp", Documents().server())
    text = keyed(TABLE, source.reflect(TABLE), 2)
    assert text == (
        'SELECT "ID", "TITLE", "BODY", "DATA" FROM "SALES"."ORDERS" AS OF SCN :scn'
        ' WHERE "ID" IN (TO_NUMBER(:k0_0), TO_NUMBER(:k1_0))'
    )
