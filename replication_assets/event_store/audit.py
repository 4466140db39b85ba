"""The audit of an environment: a Delta table of lines, chained by their hashes.

The table counts its lines, and two who append at once conflict, so the chain never forks. `body`
is kept as the very text that was hashed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from replication_assets.core.refresh.audit_chain import BEGINNING, canonical, first_break, link
from replication_assets.errors import CommitConflict, StoreCorrupt, StoreError
from replication_assets.event_store.numbered_lines import NUMBER, UTC_MICROSECONDS, NumberedLines
from replication_assets.event_store.storage import Place
from replication_assets.ports.refresh import AuditLine

SCHEMA = pa.schema(
    [
        *NUMBER,
        pa.field("environment", pa.string()),
        pa.field("refresh", pa.string()),
        pa.field("refresh_id", pa.string()),
        pa.field("what", pa.string()),
        pa.field("at", UTC_MICROSECONDS),
        pa.field("who", pa.string()),
        pa.field("body", pa.string()),
        pa.field("hash", pa.string()),
    ]
)

ATTEMPTS = 100
NEWEST = 50
"""Lines that are looked through first: those of the last few runs. The audit grows for ever."""


class DeltaAudit:
    """See `ports.refresh.Audit`."""

    def __init__(self, environment: str, place: Place) -> None:
        self._environment = environment
        self._place = place
        self._table = NumberedLines(place, SCHEMA)

    def __repr__(self) -> str:
        return f"DeltaAudit({self._place.uri!r})"

    def lines(self) -> tuple[AuditLine, ...]:
        return self._after(0)

    def back_to(self, refresh_id: str, what: str) -> tuple[AuditLine, ...]:
        steps = NEWEST
        while True:
            after = max(0, self._table.count() - steps)
            lines = self._after(after)
            for at in reversed(range(len(lines))):
                if (lines[at].refresh_id, lines[at].what) == (refresh_id, what):
                    return lines[at:]
            if after == 0:
                return lines
            steps *= 8

    def _after(self, after: int) -> tuple[AuditLine, ...]:
        """Lines from number `after + 1` on, each held against the one before it."""
        rows = self._table.read(max(0, after - 1))
        previous = BEGINNING
        if after > 0:
            previous = str(rows.pop(0)["hash"])
        told = ((_content(row), row["hash"]) for row in rows)
        broken = first_break(told, after=after, previous=previous)
        foreign = next((row["_sequence"] for row in rows if row["environment"] != self._environment), None)
        first = min((number for number in (broken, foreign) if number is not None), default=None)
        if first is not None:
            raise StoreCorrupt(
                f"line {first} does not follow: it, or what came before it, was changed",
                where=self._place.where,
                fix="find out who wrote to the audit; restore its folder from a copy",
            )
        return tuple(_line(row) for row in rows)

    def append(
        self, refresh: str, refresh_id: str, what: str, who: str, body: Mapping[str, object], at: dt.datetime
    ) -> AuditLine:
        text = self._text(body)
        for _ in range(ATTEMPTS):
            known = self._after(max(0, self._table.count() - 1))
            last = known[-1].number if known else 0
            row = {
                "_sequence": last + 1,
                "environment": self._environment,
                "refresh": refresh,
                "refresh_id": refresh_id,
                "what": what,
                "at": at,
                "who": who,
                "body": text,
            }
            row["hash"] = link(known[-1].hash if known else BEGINNING, _content(row))
            try:
                self._table.append([row[name] for name in SCHEMA.names[len(NUMBER) :]], last)
            except CommitConflict:
                continue
            return _line(row)
        raise CommitConflict(
            f"others appended {ATTEMPTS} times meanwhile", where=self._place.where, fix="run again"
        )

    def _text(self, body: Mapping[str, object]) -> str:
        try:
            text = canonical(body)
            text.encode()
        except (ValueError, TypeError):
            raise StoreError(
                "the body holds something that JSON does not",
                where=self._place.where,
                fix="give texts, numbers, true, false, lists, and mappings with texts as keys",
            ) from None
        return text


def _content(row: Mapping[str, Any]) -> dict[str, object]:
    """What is hashed: every field of the line, in texts that mean one thing only."""
    at: dt.datetime = row["at"]
    told = {name: row[name] for name in ("environment", "refresh", "refresh_id", "what", "who", "body")}
    return {
        **told,
        "number": row["_sequence"],
        "at": at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
    }


def _line(row: Mapping[str, Any]) -> AuditLine:
    return AuditLine(
        row["_sequence"],
        row["environment"],
        row["refresh"],
        row["refresh_id"],
        row["what"],
        row["at"].astimezone(dt.UTC),
        row["who"],
        json.loads(row["body"]),
        row["hash"],
    )
