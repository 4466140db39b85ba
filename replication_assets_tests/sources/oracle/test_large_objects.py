"""Large objects are captured as the rows that transactions leave behind, whatever the log shows of their
pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from replication_assets.errors import SourceUnavailable
from replication_assets.sources.oracle.connection import server_error
from replication_assets.sources.oracle.logminer import looking_back, touched_rows
from replication_assets.sources.oracle.logminer.stream import open_changes
from replication_assets.sources.oracle.source import OracleSource
from replication_assets_tests.contracts.change_source import events
from replication_assets_tests.sources.oracle.documents import (
    ERASE,
    LOCATOR,
    TRIM,
    WRITE,
    Document,
    Documents,
    Writing,
    delete,
    drain,
    everything,
    insert,
    locator,
    piece,
    reloads,
    told,
    update,
)
from replication_assets_tests.sources.oracle.recorded import TABLE
from replication_assets_tests.sources.oracle.redo_log import FIRST

ONE = Document(1, "one", "a long text", b"\x00\xff", "R1")
TWO = Document(2, None, None, None, "R2")


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
