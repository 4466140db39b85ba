"""What MySQL 8 writes and MariaDB does not, by the documentation; and what neither should."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog import events as ev
from replication_assets.sources.mysql.binlog.charsets import Charsets
from replication_assets.sources.mysql.binlog.pieces import FIELDS, Piece
from replication_assets.sources.mysql.binlog.row_events import decode_rows
from replication_assets.sources.mysql.binlog.row_images import PieceBytes
from replication_assets_tests.sources.mysql.binlog.log_encoder import (
    COMMITTED_AT,
    SCHEMA,
    START,
    UTF8MB4,
    XID,
    Log,
    begin,
    gtid,
    inner,
    payload,
    query,
    row,
    rows,
    table_map,
)

ONE, TWO = (
    (ev.WRITE_ROWS, rows(row(1, "é"), row(2, None))),
    (
        ev.UPDATE_ROWS,
        rows(row(1, "é"), row(1, "b"), row(2, None), row(3, "c"), bitmaps=b"\x03\x03", extra=b"\x00\x01"),
    ),
)


def collations(statement: str) -> list[list[object]]:
    return [[0]] if "count" in statement else [[UTF8MB4, "utf8mb4"]]


def decoded(piece: Piece) -> list[dict[str, Any]]:
    index = np.array(piece.index, dtype=np.int64).reshape(-1, FIELDS)
    found = decode_rows(
        PieceBytes(piece.data),
        index,
        piece.transactions,
        piece.shapes[0],
        SCHEMA,
        1,
        Charsets(collations),
    )
    wanted = ("_op", "_commit_position", "_sequence", "_transaction_id", "_before", "id", "v")
    return [{name: each[name] for name in wanted} for each in found.to_pylist()]


def test_rows_of_version_two_are_read_with_the_commit_time_of_their_gtid() -> None:
    log = Log()
    log.extend([*begin(), ONE, TWO, XID])
    (piece,) = log.pieces()
    found = decoded(piece)
    assert [(each["_op"], each["id"], each["v"], each["_before"]) for each in found] == [
        ("I", 1, "é", None),
        ("I", 2, None, None),
        ("U", 1, "b", '{"v":"é"}'),
        ("D", 2, None, None),
        ("U", 3, "c", None),
    ]
    assert {each["_commit_position"] for each in found} == {1 << 32 | START}
    assert {each["_transaction_id"] for each in found} == {5}
    assert piece.transactions[0].committed_at == COMMITTED_AT
    assert piece.through == (1 << 32 | log.at) - 1


def test_a_compressed_transaction_holds_the_same_rows_in_the_same_order() -> None:
    plain, packed = Log(), Log()
    plain.extend([*begin(), ONE, TWO, XID])
    events = [inner(kind, body) for kind, body in [*begin()[1:], ONE, TWO, XID]]
    packed.extend([(ev.GTID, gtid()), (ev.TRANSACTION_PAYLOAD, payload(*events))])
    packed.extend([*begin(), ONE, XID])
    (expected,), (piece,) = plain.pieces(), packed.pieces()
    one, other = decoded(expected), decoded(piece)
    assert len(other) == len(one) + 2
    for left, right in zip(one, other, strict=False):
        assert {**left, "_sequence": 0} == {**right, "_sequence": 0}
    places = [(each["_commit_position"], each["_sequence"]) for each in other]
    # The two events of a changed key share a position.
    assert places == sorted(places)
    assert len(set(places)) == len(places) - 1


def test_a_compressed_transaction_is_handed_on_in_pieces() -> None:
    log = Log()
    many = [inner(ev.WRITE_ROWS, rows(row(number, "x" * 20))) for number in range(200)]
    events = [inner(kind, body) for kind, body in begin()[1:]]
    log.extend([(ev.GTID, gtid()), (ev.TRANSACTION_PAYLOAD, payload(*events, *many, inner(*XID)))])
    pieces = log.pieces(piece_bytes=5_000)
    assert len(pieces) > 3
    assert [piece.through for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert [each["id"] for piece in pieces if piece.events for each in decoded(piece)] == list(range(200))


def test_an_event_of_more_than_sixteen_megabytes_comes_in_several_packets() -> None:
    log = Log()
    images = b"".join(row(number, "😀" * 20) for number in range(200_000))
    log.extend([*begin(), (ev.WRITE_ROWS, rows(images)), XID])
    assert len(images) > 0xFFFFFF
    found = [piece for piece in log.pieces() if piece.events]
    assert len(decoded(found[0])) == 200_000


REFUSED = [
    (26, b"\x01\x00\x00", "INCIDENT_EVENT.*lost changes"),
    (39, b"", "PARTIAL_UPDATE_ROWS_EVENT.*binlog_row_value_options"),
    (18, b"", "EXECUTE_LOAD_QUERY_EVENT.*LOAD DATA"),
    (20, b"", "PRE_GA_WRITE_ROWS_EVENT"),
    (99, b"secret", "event type 99"),
]


@pytest.mark.parametrize("inside", [False, True], ids=["between transactions", "inside of one"])
@pytest.mark.parametrize(("kind", "body", "told"), REFUSED, ids=[str(each[0]) for each in REFUSED])
def test_what_is_not_understood_is_refused_by_name(kind: int, body: bytes, told: str, inside: bool) -> None:
    log = Log()
    log.extend([*(begin() if inside else []), (kind, body), *([XID] if inside else [])])
    with pytest.raises(DecodeError, match=told) as caught:
        log.pieces()
    assert "secret" not in str(caught.value)


def test_a_wrong_checksum_is_refused() -> None:
    log = Log()
    log.extend(begin())
    log.add(*ONE, checksum=1)
    log.extend([XID])
    with pytest.raises(DecodeError, match="checksum"):
        log.pieces()


def test_a_transaction_beyond_four_gigabytes_is_refused() -> None:
    log = Log(at=0xFFFFFF00 - 2**31)
    with log.reader():
        pass
    log = Log()
    log.extend(begin())
    log.add(*ONE, log_pos=0xFFFFFFF0)
    log.add(*ONE, log_pos=0x10000000F)
    log.extend([XID])
    with pytest.raises(DecodeError, match="4 GiB"):
        log.pieces()


def test_rows_outside_of_a_transaction_or_of_a_table_not_described_are_refused() -> None:
    for events in ([(ev.TABLE_MAP, table_map()), ONE], [*begin()[:2], ONE]):
        log = Log()
        log.extend(events)
        with pytest.raises(DecodeError, match=r"outside of any transaction|not described"):
            log.pieces()


def test_an_image_that_does_not_fill_its_event_is_refused() -> None:
    log = Log()
    log.extend([*begin(), (ev.WRITE_ROWS, rows(row(1, "abc")[:-1])), XID])
    (piece,) = log.pieces()
    with pytest.raises(DecodeError, match="leaves"):
        decoded(piece)


@pytest.mark.parametrize("statement", ["ROLLBACK", "ROLLBACK TO `a`"])
def test_logged_rows_that_are_rolled_back_are_refused_and_others_are_not(statement: str) -> None:
    without, with_rows = Log(), Log()
    without.extend([*begin(), (ev.QUERY, query(statement)), (ev.QUERY, query("COMMIT"))])
    with_rows.extend([*begin(), ONE, (ev.QUERY, query(statement)), (ev.QUERY, query("COMMIT"))])
    if statement == "ROLLBACK":
        without = Log()
        without.extend([*begin(), (ev.QUERY, query(statement))])
    assert without.pieces()[-1].through == (1 << 32 | without.at) - 1
    with pytest.raises(DecodeError, match="rolled back"):
        with_rows.pieces()


def test_a_memory_table_that_a_restart_emptied_is_no_reason_to_stop() -> None:
    log = Log()
    log.extend([(ev.ANONYMOUS_GTID, gtid()), (ev.QUERY, query("BEGIN"))])
    log.extend([(ev.QUERY, query("DELETE FROM `shop`.`m`")), (ev.QUERY, query("COMMIT"))])
    assert log.pieces()[-1].events == 0
    log.extend([(ev.ANONYMOUS_GTID, gtid()), (ev.QUERY, query("DELETE FROM `shop`.`t`"))])
    with pytest.raises(DecodeError, match="statement"):
        log.pieces()


def test_xa_prepare_in_one_phase_commits() -> None:
    log = Log()
    body = b"\x01" + struct.pack("<III", 1, 1, 0) + b"x"
    log.extend([(ev.GTID, gtid()), (ev.QUERY, query("XA START X'78',X'',1"))])
    log.extend(
        [(ev.TABLE_MAP, table_map()), ONE, (ev.QUERY, query("XA END X'78',X'',1")), (ev.XA_PREPARE, body)]
    )
    assert len(decoded(log.pieces()[0])) == 2
