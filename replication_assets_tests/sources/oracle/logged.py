"""A database of tests whose triggers log: transactions that become visible at the SCN of their commit, and a
server that answers each statement of trigger capture by what these rows then are.

The trigger that writes is the one that was made: its columns and its table of the log are read from its text.
A session that ends in the middle of a transaction fails the test, and so does a fence without its lock.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from replication_assets.core.schema import TableId
from replication_assets.errors import LoadBlocked
from replication_assets.sources.oracle.sessions import Binds, Row
from replication_assets.sources.oracle.statements import catalog, log, rows, trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.triggers.shapes import replicated_column
from replication_assets.sources.oracle.types import type_name
from replication_assets_tests.sources.oracle.recorded import ORDERS, TABLE, AnsweringSession, ready

NAMES = LogNames.of("erp")
USER = "REPLICATOR"
FIRST = 500_000
PRIVILEGES = [("CREATE SESSION",), ("UNLIMITED TABLESPACE",)] + [
    (each,)
    for each in (
        *("CREATE TABLE", "CREATE SEQUENCE", "CREATE PROCEDURE"),
        *("CREATE ANY TRIGGER", "ADMINISTER DATABASE TRIGGER"),
    )
]
_WRITES = re.compile(r'INSERT INTO "RA_erp_C(\d+)" VALUES')
_STAND = re.compile(r'CREATE OR REPLACE TRIGGER "(RA_erp_\w+)" AFTER ([A-Z ]+) ON "(\w+)"\."(\w+)"')
AT = dt.datetime(2026, 6, 1, 12, 0)

Values = dict[str, Any]


@dataclass
class Change:
    """A row of the log; `commit` is None while its transaction is open."""

    id: int
    op: str
    xid: int
    old: Values
    new: Values
    commit: int | None = None


@dataclass
class Trigger:
    """A row trigger as its text says. `columns` are those that it names."""

    table: TableId
    shape: int
    columns: tuple[str, ...]
    events: str
    enabled: bool = True


@dataclass
class Database:
    """Rows, transactions and the change log. Each commit has the next SCN."""

    scn: int = FIRST
    number: int = 0
    xid: int = 0
    columns: Sequence[Row] = field(default_factory=lambda: list(ORDERS))
    segments: list[tuple[int, int | None]] = field(default_factory=lambda: [(70_001, 70_001)])
    history: list[tuple[int, dict[int, Values]]] = field(default_factory=lambda: [(0, {})])
    objects: dict[str, str] = field(default_factory=dict)
    invalid: set[str] = field(default_factory=set)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[int, list[Change]] = field(default_factory=dict)
    made: dict[int, str] = field(default_factory=dict)
    marks: list[dict[str, Any]] = field(default_factory=list)
    shown: dict[int, int] = field(default_factory=dict)
    fences: list[int] = field(default_factory=list)
    state: dict[str, Any] | None = None
    blocked: bool = False
    """Whether a transaction that wrote before the trigger did is open."""
    dropped: bool = False

    # --- applications ----------------------------------------------------------------------

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def begin(self) -> int:
        self.xid += 1
        return self.xid

    def fire(self, xid: int, old: Values, new: Values) -> None:
        """What the trigger on the table does for one row."""
        for trigger in self.triggers.values():
            if not trigger.enabled:
                continue
            op = "I" if not old else "D" if not new else "U"
            if {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}[op] not in trigger.events:
                continue
            assert set(trigger.columns) <= {str(row[0]) for row in self.columns}, "ORA-04098"
            was, now = ({name: image.get(name) for name in trigger.columns} for image in (old, new))
            self.changes[trigger.shape].append(Change(self.next_number(), op, xid, was, now))

    def missed(self, xid: int) -> None:
        """A value did not fit, which the trigger catches."""
        (trigger,) = self.triggers.values()
        self.mark(sql.MISSED, trigger.shape, None)

    def commit(self, xid: int, table: dict[int, Values] | None = None) -> int:
        self.scn += 1
        for change in self._of(xid):
            change.commit = self.scn
        if table is not None:
            self.history.append((self.scn, table))
        return self.scn

    def rollback(self, xid: int) -> None:
        for number, found in self.changes.items():
            self.changes[number] = [each for each in found if each.xid != xid or each.commit is not None]

    def _of(self, xid: int) -> list[Change]:
        return [each for found in self.changes.values() for each in found if each.xid == xid]

    def write(self, old: Values, new: Values) -> int:
        """One row in a transaction of its own."""
        xid = self.begin()
        self.fire(xid, old, new)
        table = {key: row for key, row in self.history[-1][1].items() if key != old.get("ID")}
        return self.commit(xid, {**table, new["ID"]: new} if new else table)

    def as_of(self, scn: int) -> dict[int, Values]:
        return next(table for at, table in reversed(self.history) if at <= scn)

    # --- the log ---------------------------------------------------------------------------

    def mark(self, op: str, shape: int, note: str | None) -> None:
        self.scn += 1
        self.marks.append(
            {"id": self.next_number(), "op": op, "shape": shape, "note": note, "commit": self.scn}
        )

    def visible(self, name: str, scn: int) -> list[int]:
        if name == NAMES.marks:
            return [each["id"] for each in self.marks if each["commit"] <= scn]
        found = self.changes[int(name.rpartition("_C")[2])]
        return [each.id for each in found if each.commit is not None and each.commit <= scn]

    def type_of(self, name: str) -> str:
        row = next(row for row in self.columns if row[0] == name)
        return type_name(str(row[1]), None, row[4], row[5], row[6] or None)


def row(key: int, amount: str = "1.5", note: str | None = "x", **more: Any) -> Values:
    return {"ID": key, "AMOUNT": Decimal(amount), "NOTE": note, **more}


@dataclass
class LoggedServer:
    """See `sources.oracle.sessions.Server`. `answers` come before those of the model."""

    database: Database
    answers: dict[str, Any] = field(default_factory=dict)
    where: str = "oracle db:1521/erp"
    ran: list[str] = field(default_factory=list)
    lock_of: LoggedSession | None = None
    readers: list[LoggedSession] = field(default_factory=list)

    def open(self, *, statement_seconds: int = 60, log: bool = False) -> LoggedSession:
        return LoggedSession(self)


class LoggedSession(AnsweringSession):
    def __init__(self, server: LoggedServer) -> None:
        self.server, self.where, self._dirty, self._open = server, server.where, False, True

    def number(self, statement: str, out: str, binds: Binds = {}) -> int:  # noqa: B006
        assert f":{out} :=" in statement
        return int(self._answer(statement, binds))

    def close(self) -> None:
        assert not self._dirty or sys.exc_info()[0] is not None, "a transaction was left open"
        if self._open and self in self.server.readers:
            self.server.readers.remove(self)
        self._open = False
        self._release()

    def _release(self) -> None:
        self._dirty = False
        if self.server.lock_of is self:
            self.server.lock_of = None

    def _answer(self, statement: str, binds: Binds) -> Any:
        assert self._open, "the session is closed"
        assert all(re.search(rf":{name}\b", statement) for name in binds), "a bind without a place"
        self.server.ran.append(statement)
        model = _Answers(self.server, self, dict(binds))
        given = self.server.answers.get(statement)
        if given is not None:
            if isinstance(given, Exception):
                raise given
            return given(binds) if callable(given) else given
        if statement.startswith(("CREATE ", "DROP ", "GRANT ")):
            self._release()  # A definition commits what came before it.
            return model.define(statement)
        found = model.known().get(statement)
        if found is None:
            return model.of_shapes(statement)
        return found() if callable(found) else found

    # --- transactions of ours --------------------------------------------------------------

    def lock(self) -> list[Row]:
        if self.server.lock_of not in (None, self):
            raise LoadBlocked("ORA-30006: the row is locked", where=self.where)
        self.server.lock_of = self
        state = self.server.database.state
        return [] if state is None else [(state["token"],)]

    def wrote(self) -> None:
        self._dirty = True

    def end(self) -> list[Row]:
        self._release()
        return []


@dataclass
class _Answers:
    server: LoggedServer
    session: LoggedSession
    binds: dict[str, Any]

    @property
    def db(self) -> Database:
        return self.server.database

    def known(self) -> dict[str, Any]:
        db, binds = self.db, self.binds
        return {
            **{
                text: (lambda given=given: given(binds)) if callable(given) else given
                for text, given in ready().items()
            },
            catalog.RELATION: []
            if db.dropped
            else [("TABLE", 3, None, "N", "NO", None, "NO", "YES")]
            if binds == {"owner": TABLE.schema, "name": TABLE.name}
            else [],
            catalog.COLUMNS: list(db.columns),
            catalog.PRIVILEGES: PRIVILEGES,
            catalog.DATABASE: [(4711, 1_000, db.scn, "NOARCHIVELOG", *["NO"] * 4, "READ WRITE", "NO")],
            catalog.CURRENT_SCN: [(db.scn,)],
            log.TAKE_LOCK: self._take,
            log.OURS: [(1,)],
            log.READER: [(1, 99, 4)] if self.server.readers else [],
            sql.PATIENCE: [],
            sql.EXISTS: [(int(binds.get("name") in db.objects),)],
            sql.INDEX_EXISTS: [(int(binds.get("name") in db.objects),)],
            sql.OBJECTS: sorted((name, kind) for name, kind in db.objects.items() if kind != "INDEX"),
            sql.IS_VALID: [("INVALID" if binds.get("name") in db.invalid else "VALID",)],
            sql.STANDING: self._standing,
            sql.DATA_NUMBERS: list(db.segments),
            sql.KEPT_BYTES: [(65_536,)],
            sql.QUOTA: [("USERS", 0)],
            sql.settle(TABLE): self._settle,
            trigger_log.COMMIT: self.session.end,
            trigger_log.ROLLBACK: self.session.end,
            trigger_log.next_number(NAMES): lambda: [(db.next_number(),)],
            trigger_log.read_shapes(NAMES): lambda: [tuple(each.values()) for each in db.shapes],
            trigger_log.add_shape(NAMES): self._add_shape,
            trigger_log.retire(NAMES): lambda: self._set("live", 0),
            trigger_log.retire_all(NAMES): self._retire_all,
            trigger_log.settled(NAMES): lambda: self._set("settled", 1),
            trigger_log.keep_segments(NAMES): lambda: self._set("segments", binds["segments"]),
            trigger_log.confirm(NAMES): self._confirm,
            trigger_log.forget_shape(NAMES): self._forget,
            trigger_log.add_mark(NAMES): lambda: db.mark(binds["op"], binds["shape"], binds["note"]),
            trigger_log.read_state(NAMES): lambda: [] if db.state is None else [tuple(db.state.values())],
            trigger_log.lock_state(NAMES): self.session.lock,
            trigger_log.add_state(NAMES): self._add_state,
            trigger_log.show(NAMES, NAMES.marks): lambda: self._show(NAMES.marks),
            trigger_log.add_fence(NAMES): self._add_fence,
            trigger_log.has_fence(NAMES): lambda: [(db.fences.count(binds["fence"]),)],
            trigger_log.fences_after(NAMES): lambda: [
                (each,) for each in sorted(db.fences) if each > binds["fence"]
            ],
            trigger_log.is_unshown(NAMES, NAMES.marks): lambda: self._unshown(NAMES.marks),
            trigger_log.marks_of(NAMES): lambda: [
                (each["shape"], each["op"], each["id"], each["note"])
                for each in db.marks
                if db.shown.get(each["id"]) == binds["fence"]
            ],
            trigger_log.shape_marks(NAMES): lambda: [
                (each["shape"], db.shown.get(each["id"])) for each in db.marks if each["op"] == "S"
            ],
            trigger_log.has_marks(NAMES): lambda: [
                (int(any(each["shape"] == binds["shape"] for each in db.marks)),)
            ],
            trigger_log.acknowledge(NAMES): self._acknowledge,
            trigger_log.trim(NAMES, NAMES.marks): self._trim_marks,
            trigger_log.trim_shown(NAMES): self._trim_shown,
            trigger_log.trim_fences(NAMES): self._trim_fences,
            rows.select(['"ID"', '"AMOUNT"', '"NOTE"'], "SALES", "ORDERS", "", "scn"): self._load,
        }

    def of_shapes(self, statement: str) -> Any:
        for number in self.db.changes:
            name = NAMES.changes(number)
            found: dict[str, Callable[[], Any]] = {
                trigger_log.show(NAMES, name): lambda: self._show(name),  # noqa: B023  # called at once
                trigger_log.is_unshown(NAMES, name): lambda: self._unshown(name),  # noqa: B023
                trigger_log.is_unshown(NAMES, name, "known"): lambda: self._unshown(name),  # noqa: B023
                trigger_log.is_empty(name): lambda: [(len(self.db.changes[number]),)],  # noqa: B023
                trigger_log.count(name): lambda: [(len(self.db.changes[number]),)],  # noqa: B023
                trigger_log.trim(NAMES, name): lambda: self._trim(number),  # noqa: B023
                sql.lock_changes(NAMES, number): lambda: self._lock_changes(number),  # noqa: B023
                self._read(number): lambda: self._frames(number),  # noqa: B023
            }
            if statement in found:
                return found[statement]()
        raise AssertionError(f"not recorded: {statement}")

    # --- definitions -----------------------------------------------------------------------

    def define(self, statement: str) -> list[Row]:
        db = self.db
        for name, text in sql.create(NAMES):
            if statement == text:
                assert name not in db.objects, "ORA-00955"
                db.objects[name] = {"I": "INDEX", "S": "SEQUENCE"}.get(text[7], "TABLE")
                return []
        made = re.match(r'CREATE TABLE "RA_erp_C(\d+)" \((.*)\)$', statement)
        if made is not None:
            number = int(made[1])
            db.objects[NAMES.changes(number)] = "TABLE"
            db.changes[number], db.made[number] = [], made[2]
            return []
        if statement.startswith("CREATE OR REPLACE TRIGGER"):
            self._define_trigger(statement)
            return []
        if statement == sql.release(NAMES, USER):
            db.objects[NAMES.release] = "PROCEDURE"
            return []
        gone = re.match(r'DROP (TABLE|TRIGGER|PROCEDURE|SEQUENCE) "(RA_erp_\w+)"', statement)
        if gone is not None:
            del db.objects[gone[2]]
            db.triggers.pop(gone[2], None)
            if gone[2] == NAMES.state:
                db.state = None
            if gone[2].startswith("RA_erp_C"):
                del db.changes[int(gone[2][8:])]
            return []
        assert statement == sql.grant_release(NAMES, "SALES"), f"not recorded: {statement}"
        return []

    def _define_trigger(self, statement: str) -> None:
        if statement == sql.guard(NAMES, NAMES.guard, USER):
            self.db.objects[NAMES.guard] = "TRIGGER"
            return
        if statement == sql.guard(NAMES, NAMES.trial, USER, disabled=True):
            self.db.objects[NAMES.trial] = "TRIGGER"
            return
        stands, writes = _STAND.match(statement), _WRITES.search(statement)
        assert stands is not None
        assert writes is not None
        self.db.objects[stands[1]] = "TRIGGER"
        if stands[1] == NAMES.trial:
            assert " DISABLE DECLARE" in statement
            return
        columns = tuple(re.findall(r':NEW\."([^"]+)"', statement))
        place = TableId("erp", stands[3], stands[4])
        self.db.triggers[stands[1]] = Trigger(place, int(writes[1]), columns, stands[2])

    # --- the log ---------------------------------------------------------------------------

    def _standing(self) -> list[Row]:
        return [
            (
                name,
                each.table.schema,
                each.table.name,
                "ENABLED" if each.enabled else "DISABLED",
                NAMES.changes(each.shape),
            )
            for name, each in sorted(self.db.triggers.items())
        ]

    def _take(self) -> int:
        if self.server.readers:
            return 1
        self.server.readers.append(self.session)
        return 0

    def _settle(self) -> list[Row]:
        if self.db.blocked:
            raise LoadBlocked("ORA-30006: the table is locked", where=self.server.where)
        return []

    def _add_shape(self) -> None:
        assert self.server.lock_of is self.session, "a fence might not know of the shape"
        self.session.wrote()
        names = ("shape", "place", "owner", "name", "body", "segments", "append_only")
        row = {name: self.binds[name] for name in names}
        self.db.shapes.append(
            {**row, "live": 1, "settled": self.binds["settled"], "confirmed": self.binds["confirmed"]}
        )

    def _set(self, name: str, value: Any) -> None:
        self.session.wrote()
        (found,) = [each for each in self.db.shapes if each["shape"] == self.binds["shape"]]
        found[name] = value

    def _confirm(self) -> None:
        self.session.wrote()
        for each in self.db.shapes:
            each["confirmed"] = 1

    def _retire_all(self) -> None:
        self.session.wrote()
        for each in self.db.shapes:
            if (each["owner"], each["name"]) == (self.binds["owner"], self.binds["name"]):
                each["live"] = 0

    def _forget(self) -> None:
        self.session.wrote()
        self.db.shapes = [each for each in self.db.shapes if each["shape"] != self.binds["shape"]]

    def _add_state(self) -> None:
        self.session.wrote()
        self.db.state = {"token": self.binds["token"], "acknowledged": self.binds["scn"]}

    def _show(self, name: str) -> None:
        assert self.server.lock_of is self.session, "two fences at once"
        self.session.wrote()
        for number in self.db.visible(name, self.binds["scn"]):
            self.db.shown.setdefault(number, self.binds["scn"])

    def _add_fence(self) -> None:
        assert self.binds["scn"] not in self.db.fences, "ORA-00001"
        self.session.wrote()
        self.db.fences.append(self.binds["scn"])
        self.db.scn += 1

    def _unshown(self, name: str) -> list[Row]:
        known = self.binds.get("known", 2**60)
        ids = self.db.visible(name, self.db.scn)
        return [(int(any(self.db.shown.get(each, 2**62) > known for each in ids)),)]

    def _lock_changes(self, number: int) -> list[Row]:
        if any(each.commit is None for each in self.db.changes[number]):
            raise LoadBlocked("ORA-00054: the table is locked", where=self.server.where)
        return []

    # --- reading ---------------------------------------------------------------------------

    def _columns(self, number: int) -> list[Any]:
        found = [each for each in self.db.shapes if each["shape"] == number]
        if not found:
            return []
        return [replicated_column(*each) for each in json.loads(found[0]["body"])["columns"]]

    def _read(self, number: int) -> str:
        return trigger_log.read_changes(NAMES, number, self._columns(number))

    def _frames(self, number: int) -> Iterator[pa.RecordBatch]:
        """Two rows to a frame."""
        found = sorted(
            (
                each
                for each in self.db.changes[number]
                if each.commit is not None and self.db.shown.get(each.id) == self.binds["fence"]
            ),
            key=lambda each: each.id,
        )
        columns = self._columns(number)
        for at in range(0, len(found), 2):
            some = found[at : at + 2]
            arrays = [
                pa.array([each.id for each in some], pa.int64()),
                pa.array([each.op for each in some], pa.string()),
                pa.array([f" {AT:%Y-%m-%d %H:%M:%S}.{each.id:06}" for each in some], pa.string()),
            ]
            arrays += [_array(column, [each.old.get(column.name) for each in some]) for column in columns]
            arrays += [_array(column, [each.new.get(column.name) for each in some]) for column in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=[f"c{place}" for place in range(len(arrays))])

    def _load(self) -> list[pa.RecordBatch]:
        table = list(self.db.as_of(self.binds["scn"]).values())
        names = ("ID", "AMOUNT", "NOTE")
        columns = [replicated_column(name, self.db.type_of(name)) for name in names]
        arrays = [_array(column, [each[column.name] for each in table]) for column in columns]
        return [pa.RecordBatch.from_arrays(arrays, names=list(names))]

    # --- trimming --------------------------------------------------------------------------

    def _acknowledge(self) -> None:
        self.session.wrote()
        assert self.db.state is not None
        self.db.state["acknowledged"] = max(self.db.state["acknowledged"], self.binds["fence"])

    def _gone(self, number: int) -> bool:
        return self.db.shown.get(number, 2**62) <= int(self.binds["fence"])

    def _trim(self, number: int) -> int:
        found = self.db.changes[number]
        self.db.changes[number] = [each for each in found if not self._gone(each.id)]
        return len(found) - len(self.db.changes[number])

    def _trim_marks(self) -> int:
        found = len(self.db.marks)
        self.db.marks = [each for each in self.db.marks if not self._gone(each["id"])]
        return found - len(self.db.marks)

    def _trim_shown(self) -> int:
        gone = [each for each in self.db.shown if self._gone(each)]
        there = {change.id for found in self.db.changes.values() for change in found}
        assert not there & set(gone), "a change would be shown again"
        for each in gone:
            del self.db.shown[each]
        return len(gone)

    def _trim_fences(self) -> int:
        found = len(self.db.fences)
        self.db.fences = [each for each in self.db.fences if each >= self.binds["fence"]]
        return found - len(self.db.fences)


def _array(column: Any, values: Sequence[Any]) -> pa.Array:
    """As the driver's frames have it."""
    kinds = {"ID": pa.int64(), "AMOUNT": pa.decimal128(10, 2)}
    return pa.array(values, kinds.get(column.name, pa.string()))
