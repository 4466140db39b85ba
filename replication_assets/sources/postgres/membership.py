"""What our publications send, and whether anybody but setup changed that.

A publication is evaluated while the log is read, as it was when each change was made, and nothing
in the stream tells of it: rows of a table that was taken out and put back, or that a filter or a
shorter list of operations left out for an hour, are missing without a trace. So setup writes down
what it made as the publication's comment, and a capture trusts a table only while its publication
is the one that setup left. The comment goes with the publication: one of the same name that
somebody made anew has none.

What is compared: the row version of the publication (`xmin`; every ALTER PUBLICATION ... SET makes
another), and the oid of each table's membership (taken out and put back, it has another).

A table that setup published is `unconfirmed` until the store was told that changes before it are
missing; a setup that died in between finds it so, and tells it again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg

from replication_assets.sources.postgres.quoting import identifier, literal

_MADE_BY = "replication_assets"


@dataclass(frozen=True, slots=True)
class Member:
    """A table of a publication: `oid` is that of its membership; `partial`: a row filter or a
    column list leaves something out."""

    oid: int
    name: str
    partial: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as it is now; `members` by the table's oid. `operations` as ALTER PUBLICATION
    spells them. `recorded` is what setup wrote down, None if this publication is not of its making."""

    name: str
    version: str
    operations: str
    via_root: bool
    members: Mapping[int, Member]
    recorded: _Record | None

    def holds(self, table: int, operations: str) -> bool:
        """Whether every such change of the table was sent since setup published it."""
        member, recorded = self.members.get(table), self.recorded
        return (
            member is not None
            and not member.partial
            and not self.via_root
            and self.operations == operations
            and recorded is not None
            and recorded.version == self.version
            and recorded.members.get(table) == member.oid
        )


@dataclass(frozen=True, slots=True)
class _Record:
    """Memberships by the table's oid."""

    version: str
    members: Mapping[int, int]
    unconfirmed: Mapping[int, int]


_PUBLICATION = """
SELECT p.oid::text || '/' || p.xmin::text, p.pubviaroot, pg_catalog.obj_description(p.oid, 'pg_publication'),
    concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
        CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END),
    r.oid::bigint, r.prrelid::bigint, 'ONLY ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname),
    coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') IS NOT NULL
FROM pg_catalog.pg_publication p
LEFT JOIN (pg_catalog.pg_publication_rel r
    JOIN pg_catalog.pg_class c ON c.oid = r.prrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace) ON r.prpubid = p.oid
WHERE p.pubname = %s
"""
# One statement, and so one moment. Filters through jsonb: servers before 15 have neither filters
# nor column lists.


def find_publication(session: psycopg.Connection[Any], name: str) -> Publication | None:
    """None if there is no such publication."""
    rows = session.execute(_PUBLICATION, (name,)).fetchall()
    if not rows:
        return None
    version, via_root, comment, operations = rows[0][:4]
    members = {row[5]: Member(row[4], row[6], row[7]) for row in rows if row[4] is not None}
    return Publication(name, version, operations, via_root, members, _recorded(comment))


def record(session: psycopg.Connection[Any], name: str, held: Collection[int]) -> None:
    """Write down what the publication is now. Of its tables, `held` were in it all the time; the
    others wait for `confirm`. A comment of somebody else's is replaced."""
    found = find_publication(session, name)
    assert found is not None
    members = {table: member.oid for table, member in found.members.items()}
    sure = {table: oid for table, oid in members.items() if table in held}
    _write(session, found, _Record(found.version, sure, _without(members, sure)))


def confirm(session: psycopg.Connection[Any], name: str) -> None:
    """What setup published is to be trusted from here on, unless it was changed again since."""
    found = find_publication(session, name)
    if found is None or (known := found.recorded) is None or known.version != found.version:
        return
    _write(session, found, _Record(known.version, {**known.members, **known.unconfirmed}, {}))


def _without(members: Mapping[int, int], others: Collection[int]) -> dict[int, int]:
    return {table: oid for table, oid in members.items() if table not in others}


def _write(session: psycopg.Connection[Any], found: Publication, now: _Record) -> None:
    if now == found.recorded:
        return
    content = {
        "made by": _MADE_BY,
        "version": now.version,
        "members": {str(table): oid for table, oid in now.members.items()},
        "unconfirmed": {str(table): oid for table, oid in now.unconfirmed.items()},
    }
    comment = literal(orjson.dumps(content).decode())
    session.execute(f"COMMENT ON PUBLICATION {identifier(found.name)} IS {comment}".encode())


def _recorded(comment: str | None) -> _Record | None:
    """None for any comment that is not exactly one of ours."""
    try:
        read = orjson.loads(comment or "")
        if read["made by"] != _MADE_BY:
            return None
        return _Record(str(read["version"]), _oids(read["members"]), _oids(read["unconfirmed"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _oids(read: Mapping[str, int]) -> dict[int, int]:
    return {int(table): int(oid) for table, oid in read.items()}
