"""The dead letters of one table in one projection: a Delta table of facts, and their fold.

A fact says that an event was `refused`, that a letter was `closed`, that the table was
`suspended` or `resumed`. What is open now is computed from all of them. Every write is a pure
append, so writers never wait for each other and none can lose what another wrote.

Facts are ordered by `turn`: one more than the version of the table that their writer had read.
Whoever closes a letter has read of its refusal, so a closing has a greater turn than what it
closes, whatever the clocks of the machines say. Equal turns did not know of each other: then
the letter stays open, and the table suspended.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence

import pyarrow as pa

from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.sql import Spill, engine, literal, stream
from replication_assets.errors import StoreError
from replication_assets.event_store.columns import arrow_schema
from replication_assets.event_store.commit import commit
from replication_assets.event_store.compaction import compact
from replication_assets.event_store.files import active_files, dataset
from replication_assets.event_store.kept_table import KeptTable
from replication_assets.event_store.parts import PartWriter
from replication_assets.event_store.storage import Place
from replication_assets.ports.dead_letters import LETTERS, Closed, DeadLetter, Suspension

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
LETTER = LETTERS.field("letter").type

FACTS = pa.schema(
    [
        pa.field("fact", pa.string()),
        pa.field("turn", pa.int64()),
        pa.field("told_at", UTC_MICROSECONDS),
        pa.field("letter", LETTER),
        pa.field("id_range", pa.string()),
        pa.field("key", pa.string()),
        # The refused event's position; zeros where a fact is of the whole table.
        pa.field("_epoch", pa.int32()),
        pa.field("_commit_position", pa.int64()),
        pa.field("_sequence", pa.int64()),
        pa.field("column", pa.string()),
        # The code of a refusal, or how a letter was closed.
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)
FILES_BEFORE_COMPACTION = 64

# A letter's refusals after its last closing, by letter.
_OPEN = (
    "SELECT r.*, c.turn AS closed FROM fact r LEFT JOIN "
    "(SELECT letter, max(turn) AS turn FROM fact WHERE fact = 'closed' GROUP BY letter) c USING (letter) "
    "WHERE r.fact = 'refused' AND (c.turn IS NULL OR r.turn >= c.turn)"
)


class DeltaDeadLetters:
    """See `ports.DeadLetters`. Remembers what it read of the newest version, so that asking again
    costs a look at the log."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept = KeptTable(place, FACTS)
        self._counted: tuple[int, int] | None = None
        self._suspension: tuple[int, Suspension | None] | None = None

    def __repr__(self) -> str:
        return f"DeltaDeadLetters({self._place.uri!r})"

    @property
    def uri(self) -> str:
        """Where the facts are, for readers of Delta tables."""
        return self._place.uri

    def add(self, id_range: str, refusals: Sequence[Refusal], at: dt.datetime) -> None:
        if not refusals:
            return
        rows = {
            "letter": [letter_of(each.key, each.position, each.column) for each in refusals],
            "id_range": [id_range] * len(refusals),
            "key": [each.key for each in refusals],
            "_epoch": [each.position.epoch for each in refusals],
            "_commit_position": [each.position.commit for each in refusals],
            "_sequence": [each.position.sequence for each in refusals],
            "column": [each.column for each in refusals],
            "reason": [each.reason for each in refusals],
            "detail": [each.detail for each in refusals],
        }
        arrays = {name: pa.array(values, FACTS.field(name).type) for name, values in rows.items()}
        self._append("refused", pa.table(arrays), at)
        table = self._kept.last
        if table is not None and len(table.file_uris()) > FILES_BEFORE_COMPACTION:
            compact(self._place)

    def open(self, id_range: str | None = None) -> tuple[DeadLetter, ...]:
        return tuple(
            DeadLetter(
                row["id_range"],
                Refusal(
                    row["key"],
                    Position(row["_epoch"], row["_commit_position"], row["_sequence"]),
                    row["column"],
                    row["reason"],
                    row["detail"],
                ),
                row["attempts"],
                row["first_at"],
                row["last_at"],
            )
            for row in self.open_rows(id_range).to_pylist()
        )

    def open_rows(self, id_range: str | None = None) -> pa.Table:
        told = LETTERS.names[1:9]
        newest = ", ".join(f'arg_max("{name}", turn) AS "{name}"' for name in told)
        chosen = "" if id_range is None else f"WHERE id_range = {literal(id_range)}"
        query = (
            f"SELECT * FROM (SELECT letter, {newest}, count(DISTINCT told_at) AS attempts, "
            f"min(told_at) AS first_at, max(told_at) AS last_at FROM ({_OPEN}) GROUP BY letter) {chosen} "
            'ORDER BY first_at, _epoch, _commit_position, _sequence, key, "column" NULLS FIRST'
        )
        return self._query(query, LETTERS)

    def count(self) -> int:
        table = self._kept.newest()
        if table is None:
            return 0
        if self._counted is None or self._counted[0] != table.version():
            newest = {
                fact: f"max(turn) FILTER (WHERE fact = '{fact}') AS {fact}" for fact in ("refused", "closed")
            }
            found = self._query(
                f"SELECT count(*) AS n FROM (SELECT {newest['refused']}, {newest['closed']} FROM fact "
                "WHERE letter IS NOT NULL GROUP BY letter) "
                "WHERE refused IS NOT NULL AND (closed IS NULL OR refused >= closed)",
                pa.schema([pa.field("n", pa.int64())]),
            )
            self._counted = (table.version(), found["n"][0].as_py())
        return self._counted[1]

    def close(self, letters: Sequence[DeadLetter], how: Closed, at: dt.datetime) -> None:
        refusals = [letter.refusal for letter in letters]
        closing = [letter_of(each.key, each.position, each.column) for each in refusals]
        self._close(pa.array(closing, LETTER), how, at)

    def close_rows(self, letters: pa.Table, how: Closed, at: dt.datetime) -> None:
        self._close(letters["letter"].combine_chunks(), how, at)

    def _close(self, letters: pa.Array, how: Closed, at: dt.datetime) -> None:
        if len(letters):
            reason = pa.repeat(pa.scalar(how, pa.string()), len(letters))
            self._append("closed", pa.table({"letter": letters, "reason": reason}), at)

    def suspend(self, reason: str, at: dt.datetime) -> None:
        self._append("suspended", pa.table({"detail": pa.array([reason], pa.string())}), at)

    def suspended(self) -> Suspension | None:
        table = self._kept.newest()
        if table is None:
            return None
        if self._suspension is None or self._suspension[0] != table.version():
            self._suspension = (table.version(), self._read_suspension())
        return self._suspension[1]

    def _read_suspension(self) -> Suspension | None:
        found = self._query(
            "SELECT detail, told_at FROM fact WHERE fact = 'suspended' AND turn >= "
            "(SELECT coalesce(max(turn), 0) FROM fact WHERE fact = 'resumed') ORDER BY turn, told_at LIMIT 1",
            pa.schema([FACTS.field("detail"), FACTS.field("told_at")]),
        ).to_pylist()
        return Suspension(found[0]["detail"], found[0]["told_at"]) if found else None

    def resume(self, at: dt.datetime) -> None:
        if self.suspended() is not None:
            self._append("resumed", pa.table({"detail": pa.nulls(1, pa.string())}), at)

    def compact(self) -> int:
        return compact(self._place) if self._place.exists() else 0

    def vacuum(self, older_than: dt.timedelta) -> int:
        table = self._kept.newest()
        if table is None:
            return 0
        hours = -(-older_than // dt.timedelta(hours=1))
        with self._place.errors():
            gone = table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        return len(gone)

    # --- steps ---

    def _append(self, fact: str, rows: pa.Table, at: dt.datetime) -> None:
        if at.tzinfo is None:
            raise StoreError("the time has no zone", where=self._place.where, fix="give an aware datetime")
        table = self._kept.ensure()
        given = {"fact": fact, "turn": table.version() + 1, "told_at": at}
        given |= dict.fromkeys(("_epoch", "_commit_position", "_sequence"), 0)
        columns = [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.repeat(pa.scalar(given.get(field.name), field.type), rows.num_rows)
            for field in FACTS
        ]
        with self._place.errors():
            part = PartWriter(self._place, self._place.filesystem(), (), FACTS)
            part.write(pa.Table.from_arrays(columns, schema=FACTS))
            written = part.finish()
        commit(self._place, table, [written.added()])

    def _query(self, query: str, schema: pa.Schema) -> pa.Table:
        """A query of table `fact`, or no rows where there is none yet."""
        table = self._kept.newest()
        if table is None:
            return schema.empty_table()
        with self._place.errors(), engine(Spill()) as connection:
            connection.register("fact", dataset(self._place, active_files(table), arrow_schema(table)))
            return pa.Table.from_batches(stream(connection, query, schema), schema)


def letter_of(key: str, position: Position, column: str | None) -> int:
    """What tells letters apart: 120 bits of a digest, small enough for a decimal of Delta."""
    named = json.dumps([key, str(position), column]).encode()
    return int.from_bytes(hashlib.blake2b(named, digest_size=15).digest(), "big")
