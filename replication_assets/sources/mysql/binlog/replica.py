"""A replica's connection: registers with the server and asks for its binary log from a place on.

The server is told that we know checksums and MariaDB's own events, and to say where it is while it has
nothing to send. Statements in comments (ANNOTATE_ROWS) are not asked for. A replica that acknowledges
(semi-synchronous) would hold up writers: ours is none, since it never asks to be.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

from pymysql.constants import COMMAND

from replication_assets.errors import SlotLost, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.sources.mysql.binlog.events import FORMAT_DESCRIPTION
from replication_assets.sources.mysql.binlog.packets import Packets
from replication_assets.sources.mysql.connection import (
    MySqlConnection,
    Session,
    connect,
    connected,
    leave,
    source_errors,
)
from replication_assets.sources.mysql.log_places import LogPlace

_HEARTBEAT_NANOSECONDS = 500_000_000
_HEADER = 4
"""Bytes before the first event of a file."""
_RELEASE_SECONDS = 5.0
"""How long a replica that died may take to be noticed."""

_NON_BLOCKING = 1
"""Flag of a dump that ends where the log does."""
_EVENTS_TO_BIRTH = 4

_RECOVER = "recover the source (a new epoch), and load every id range again, which also finds deletes"


@dataclass(frozen=True, slots=True)
class Replica:
    """An open dump."""

    session: Session
    packets: Packets
    has_checksums: bool

    def close(self) -> None:
        """End it, and at the server by way of a new session: it would notice only as it sends, and other
        sessions of ours may be as silent as this one."""
        number = int(self.session.thread_id())
        leave(self.session)
        # It may be gone by itself, with the server or before it. The next capture waits for it.
        with suppress(SourceError), connected(self.session.connection) as other:
            other.rows(f"KILL {number}")


def place_of(session: Session, position: int) -> LogPlace:
    """The place of a commit position in the server's files, from which the log can still be read.

    Raises:
        SlotLost: the server has it no more, and what is lost.
    """
    files = [LogPlace.of(str(row[0]), int(row[1])) for row in session.rows("SHOW BINARY LOGS")]
    if not files:
        raise SlotLost("the server has no binary log any more", where=session.where, fix=_RECOVER)
    place = LogPlace.at(position, files[-1].base)
    found = {file.number: file for file in files}.get(place.number)
    if found is None and place.number < files[0].number:
        raise SlotLost(
            f"{place.file} was purged: the changes between its byte {place.offset} and the first that is"
            f" left, {files[0].file}, are lost",
            where=session.where,
            fix=f"{_RECOVER}; keep more: SET GLOBAL binlog_expire_logs_seconds",
        )
    if found is None:
        raise SlotLost(
            f"{place.file} does not exist and the log ends in {files[-1].file}: RESET MASTER was run, or"
            " this is another server",
            where=session.where,
            fix=_RECOVER,
        )
    if place.offset > max(found.offset, _HEADER):
        raise SlotLost(
            f"{found.file} ends at {found.offset}, before byte {place.offset} up to which it was captured:"
            " it was begun anew (RESET MASTER), or the server lost the end of its log in a crash",
            where=session.where,
            fix=_RECOVER,
        )
    return LogPlace(found.base, place.number, max(place.offset, _HEADER))


def open_replica(connection: MySqlConnection, server_id: int, place: LogPlace) -> Replica:
    """Ask for the log from `place` on."""
    session = connect(connection, statement_seconds=0)
    try:
        _refuse_taken(session, server_id)
        checksums = _announce(session)
        _send(session, COMMAND.COM_REGISTER_SLAVE, _registration(server_id))
        with source_errors(connection.where):
            session._read_ok_packet()
        name = place.file.encode()
        _send(session, COMMAND.COM_BINLOG_DUMP, struct.pack("<IHI", place.offset, 0, server_id) + name)
        # What the driver has read ahead of us: nothing, since it asked for one packet at a time.
        sock: socket.socket = session._sock
        return Replica(session, Packets(sock, b"", connection.where), checksums)
    except BaseException:
        leave(session)
        raise


def log_birth(connection: MySqlConnection, end: LogPlace) -> int:
    """When a file of the log was begun, in seconds of the server's clock: the time of its first event,
    which no restart changes. Only a dump tells it, before what follows the `end` of the file that it is asked
    for; this one takes no replica's number and ends by itself.

    Raises:
        SourceNotReady: the account may not read the log.
        SlotLost: there is no such file.
    """
    session = connect(connection)
    try:
        _announce(session)
        asked = struct.pack("<IHI", max(end.offset, _HEADER), _NON_BLOCKING, 0) + end.file.encode()
        _send(session, COMMAND.COM_BINLOG_DUMP, asked)
        with source_errors(connection.where):
            # What says which file it is comes first.
            for _ in range(_EVENTS_TO_BIRTH):
                packet = bytes(session._read_packet().get_all_data())
                if packet[:1] == b"\0" and len(packet) > 5 and packet[5] == FORMAT_DESCRIPTION:
                    found: int = struct.unpack_from("<I", packet, 1)[0]
                    return found
    finally:
        leave(session)
    raise SourceUnavailable(f"{end.file} does not begin as a binary log does", where=connection.where)


def _announce(session: Session) -> bool:
    """Tell the server what we understand; whether events come with checksums."""
    if session.is_mariadb:
        # 4: GTID events (MARIA_SLAVE_CAPABILITY_GTID).
        session.rows("SET @mariadb_slave_capability = 4")
    for name in ("master_heartbeat_period", "source_heartbeat_period"):
        session.rows(f"SET @{name} = {_HEARTBEAT_NANOSECONDS}")
    for name in ("master_binlog_checksum", "source_binlog_checksum"):
        session.rows(f"SET @{name} = @@global.binlog_checksum")
    row = session.row("SELECT @@global.binlog_checksum")
    return row is not None and str(row[0]).upper() == "CRC32"


def _registration(server_id: int) -> bytes:
    # Host, user and password (empty: they are for display only), port, rank, master.
    return struct.pack("<IBBBHII", server_id, 0, 0, 0, 0, 0, 0)


def _send(session: Session, command: int, body: bytes) -> None:
    with source_errors(session.where):
        session._execute_command(command, body)


def _is_registered(session: Session, server_id: int) -> bool:
    try:
        hosts = session.rows("SHOW SLAVE HOSTS" if session.is_mariadb else "SHOW REPLICAS")
    except SourceError:
        # Not allowed to ask, or too old a server: a collision is told when it happens.
        return False
    return any(int(host[0]) == server_id for host in hosts)


def _refuse_taken(session: Session, server_id: int) -> None:
    """The server ends the older of two replicas with one number, so they would end each other."""
    row = session.row("SELECT @@global.server_id")
    if row is not None and int(row[0]) == server_id:
        raise SourceNotReady(
            f"the server itself has server_id {server_id}",
            where=session.where,
            fix="give the source another server_id",
        )
    deadline = time.monotonic() + _RELEASE_SECONDS
    while _is_registered(session, server_id):
        if time.monotonic() < deadline:
            # A capture of ours that was killed: the server notices as it tells it the time.
            time.sleep(0.05)
            continue
        raise SourceNotReady(
            f"a replica with server_id {server_id} is registered already",
            where=session.where,
            fix="end it if it is a capture that died (SHOW PROCESSLIST, KILL), or give the source another"
            " server_id",
        )
