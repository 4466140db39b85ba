"""Structures of PostgreSQL made again in PostgreSQL: carried, or listed as not carried."""

from __future__ import annotations

import psycopg
import pyarrow as pa
import pytest

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    ForeignKey,
    Index,
    OwnedSequence,
    TableStructure,
    UniqueKey,
)
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import RefreshError, VerificationFailed
from replication_assets.ports.environment import TableCopy
from replication_assets.sources.postgres.connection import PostgresConnection, connect
from replication_assets.sources.postgres.structure import read_structure
from replication_assets.targets.sql.postgres.expressions import index_statement, translated, type_text
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.contracts.environment_copies import marker_of
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.targets.sql.masked_copies import KEYS, Refresh, batch, copied, structure
from replication_assets_tests.targets.sql.postgres_place import PostgresPlace


@pytest.fixture
def place(database: FreshDatabase) -> PostgresPlace:
    return PostgresPlace(database)


@pytest.fixture
def target(place: PostgresPlace) -> SqlEnvironment:
    target = place.target()
    target.mark(marker_of(KEYS))
    return target


NEXT = "nextval('public.purchase_number_seq'::regclass)"
LOWER = (
    "CREATE UNIQUE INDEX purchase_lower ON public.purchase USING btree (lower((email)::text))"
    " WHERE (status = 'placed'::public.order_status)"
)
OURS = "CREATE INDEX purchase_ours ON public.purchase USING btree (public.ours(email))"
EVIL = "true), ADD COLUMN raw text, CHECK (true"

STATUS = ColumnStructure(
    "status",
    "public.order_status",
    nullable=False,
    default="'placed'::public.order_status",
    labels=("placed", "it's paid"),
)
RICH = TableStructure(
    TableId("crm", "public", "purchase"),
    "postgresql",
    (
        ColumnStructure("id", "bigint", nullable=False, identity="always"),
        ColumnStructure("number", "integer", nullable=False, default=NEXT),
        STATUS,
        ColumnStructure("email", "character varying(40)", collation="C"),
        ColumnStructure("shape", "public.wing", nullable=True),
        ColumnStructure("short", "text", generated="lower((email)::text)"),
        ColumnStructure("made", "timestamp with time zone", nullable=False, default="now()"),
        ColumnStructure("ours", "text", default="public.our_default()"),
        ColumnStructure("evil", "text", default="'a'); DROP TABLE replication_assets.environment; --"),
    ),
    primary_key=UniqueKey("purchase_pkey", ("id",)),
    unique_keys=(UniqueKey("purchase_number_key", ("number",)),),
    foreign_keys=(
        ForeignKey(
            "purchase_self",
            ("number",),
            TableId("crm", "public", "purchase"),
            ("number",),
            deferrable=True,
            initially_deferred=True,
        ),
    ),
    indexes=(
        Index("purchase_made", ("made", "status")),
        Index("purchase_lower", (), unique=True, definition=LOWER),
        Index("purchase_ours", (), definition=OURS),
    ),
    checks=(Check("purchase_number_check", "number > 0"), Check("purchase_evil", EVIL)),
    sequences=(OwnedSequence("purchase_number_seq", "number"),),
    others=("trigger audit",),
)
RICH_COPY = copied(
    RICH, id=pa.int64(), number=pa.int32(), status=pa.string(), email=pa.string(), shape=pa.string()
)


def test_a_structure_is_carried_or_listed(place: PostgresPlace, target: SqlEnvironment) -> None:
    lines = target.not_carried([RICH])
    parts = (
        "type public.wing is text",
        "default of column ours, which uses public.our_default",
        "default of column evil, which is no expression",
        "check purchase_evil",
        "index purchase_ours",
        "trigger audit",
    )
    for part in parts:
        assert sum(part in line for line in lines) == 1, (part, lines)
    assert len(lines) == len(parts)
    assert place.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%trial%'") == []
    for number in (7, 8):
        refresh = Refresh(target, [RICH_COPY]).begin()
        refresh.load(
            RICH_COPY, batch(RICH_COPY, (1, number, "placed", "A@x", "w"), (2, 9, "it's paid", "a@X", None))
        )
        refresh.finish().finish().publish()
    assert place.ask("SELECT id, number, status::text, short, shape FROM public.purchase ORDER BY 1") == [
        (1, 8, "placed", "a@x", "w"),
        (2, 9, "it's paid", "a@x", None),
    ]
    added = place.ask(
        "INSERT INTO public.purchase (email) VALUES ('b') RETURNING id, number, status::text, made > 'epoch'"
    )
    assert added == [(3, 10, "placed", True)]
    constraints = place.ask(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'public.purchase'::regclass AND contype <> 'n'"
    )
    assert {name for name, _ in constraints} == {
        "purchase_pkey",
        "purchase_number_key",
        "purchase_self",
        "purchase_number_check",
    }
    assert "DEFERRABLE INITIALLY DEFERRED" in dict(constraints)["purchase_self"]
    indexes = [row[0] for row in place.ask("SELECT indexdef FROM pg_indexes WHERE tablename = 'purchase'")]
    assert sum("purchase_lower" in each and "lower" in each for each in indexes) == 1
    assert len(place.ask("SELECT 1 FROM pg_type WHERE typname = 'order_status'")) == 1
    assert target.marker() == marker_of(KEYS)


SOURCE = """
CREATE TYPE public.mood AS ENUM ('sad', 'it''s "ok"');
CREATE TABLE public.parent (
    id serial PRIMARY KEY, code char(3) COLLATE "C" NOT NULL UNIQUE, "we ird%s" mood DEFAULT 'sad',
    moods mood[] DEFAULT ARRAY['sad'::mood], boss int REFERENCES public.parent ON DELETE SET NULL,
    total numeric(12,2) DEFAULT 0.5 CHECK (total >= 0 AND total < 1e6),
    joined text GENERATED ALWAYS AS (code || total::int) STORED,
    CONSTRAINT moody CHECK ("we ird%s" <> 'sad' OR id > 0));
CREATE TABLE public."Child;" (
    a bigint GENERATED ALWAYS AS IDENTITY (INCREMENT BY 5), b smallint NOT NULL,
    parent_code char(3) REFERENCES public.parent (code) ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
    span interval day to second(3), at timestamptz(3) DEFAULT now(), bits bit varying(7) DEFAULT B'101',
    tags text[] DEFAULT '{}', area int4range, PRIMARY KEY (b, a));
CREATE INDEX ON public.parent (lower(code)) WHERE "we ird%s" = 'sad';
CREATE INDEX ON public.parent USING hash (id);
CREATE UNIQUE INDEX ON public.parent (code DESC NULLS LAST) INCLUDE (id);
CREATE INDEX ON public."Child;" (parent_code, b);
CREATE INDEX ON public."Child;" USING gin (tags);
"""


def test_what_is_read_of_a_source_is_what_the_copy_has(
    place: PostgresPlace, target: SqlEnvironment, postgres_18: PostgresServer
) -> None:
    with fresh_database(postgres_18) as source:
        with psycopg.connect(source.dsn, autocommit=True) as session:
            session.execute(SOURCE.encode())
        structures = _structures(source.dsn, "crm")
        assert target.not_carried(structures) == ()
        copies = [
            TableCopy(each, pa.schema([(each.names[0], pa.int32()), ("_overflow", pa.string())]))
            for each in structures
        ]
        for _ in range(2):
            Refresh(target, copies).begin().finish().publish()
        assert _structures(place.database.dsn, "crm") == structures


def _structures(dsn: str, source: str) -> list[TableStructure]:
    with connect(PostgresConnection.parse(dsn)) as session:
        return [read_structure(session, TableId(source, "public", name)) for name in ("parent", "Child;")]


def test_changes_reach_columns_that_the_database_numbers_itself(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    refresh = Refresh(target, [RICH_COPY]).begin()
    refresh.load(RICH_COPY, batch(RICH_COPY, (1, 1, "placed", "a", None), (2, 2, "placed", "b", None)))
    refresh.finish().publish()
    changes = Refresh(target, [RICH_COPY], how="changes").begin()
    upserts = batch(RICH_COPY, (1, 70, "it's paid", "c", "w"), (50, 3, "placed", "d", None))
    changes.load(RICH_COPY, upserts, role="upserts")
    changes.load(RICH_COPY, batch(RICH_COPY, (2, None, None, None, None)), role="deletes")
    assert changes.finish().rows(RICH_COPY, "upserts")["status"].to_pylist() == ["it's paid", "placed"]
    changes.publish()
    added = place.ask("INSERT INTO public.purchase (email) VALUES ('e') RETURNING id, number")
    assert added == [(51, 71)]
    found = place.ask(
        "SELECT id, number, status::text, short, shape FROM public.purchase WHERE id < 51 ORDER BY 1"
    )
    assert found == [(1, 70, "it's paid", "c", "w"), (50, 3, "placed", "d", None)]
    kept = place.ask(
        "SELECT attidentity::text FROM pg_attribute"
        " WHERE attrelid = 'public.purchase'::regclass AND attname = 'id'"
    )
    assert kept == [("a",)]


def test_a_structure_whose_type_is_no_type_is_refused(target: SqlEnvironment) -> None:
    bad = structure("bad", {"id": "bigint not null", "x": "text); DROP TABLE y; --"})
    with pytest.raises(RefreshError, match="none"):
        target.not_carried([bad])


def test_a_definition_index_that_rows_break_stops_the_copy(target: SqlEnvironment) -> None:
    refresh = Refresh(target, [RICH_COPY]).begin()
    refresh.load(RICH_COPY, batch(RICH_COPY, (1, 7, "placed", "A@x", None), (2, 9, "placed", "a@X", None)))
    with pytest.raises(VerificationFailed, match="purchase_lower"):
        refresh.finish()


ENUMS = {("public", "order_status"): ("public__incoming", "order_status")}


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("'a;b--'::text", "'a;b--'::text"),
        ("'x'::public.order_status", '\'x\'::"public__incoming"."order_status"'),
        ("'public.order_status'::text", "'public.order_status'::text"),
        ('\'x\'::"public"."order_status"', '\'x\'::"public__incoming"."order_status"'),
        ("E'it\\\\'::text", "E'it\\\\'::text"),
        ("ARRAY['a'::text, 'b'::text]", "ARRAY['a'::text, 'b'::text]"),
        ("pg_catalog.now()", "pg_catalog.now()"),
    ],
)
def test_an_expression_is_carried_with_the_types_of_the_copy(text: str, sql: str) -> None:
    assert translated(text, ENUMS).sql == sql


@pytest.mark.parametrize(
    "text",
    [
        "1; DROP TABLE x",
        "1) , ADD COLUMN y text",
        "1 -- ",
        "1 /* ",
        "$$a$$",
        "'a",
        "E'a\\'",
        '"a',
        "(1",
        "1)",
        "(1]",
        "1, 2",
        "",
        "a\\b",
        "public.f()",
        "nextval('public.s'::regclass)",
        "1 OPERATOR(public.+) 2",
    ],
)
def test_what_is_no_expression_or_needs_the_source_is_not_carried(text: str) -> None:
    assert translated(text, ENUMS).sql is None


def test_an_index_goes_to_the_copy_under_its_name_and_no_other_statement_does() -> None:
    table = ("in", 'o"')
    assert index_statement(LOWER, "i", table, ENUMS).sql == (
        'CREATE UNIQUE INDEX "i" ON "in"."o""" USING btree (lower((email)::text))'
        ' WHERE (status = \'placed\'::"public__incoming"."order_status")'
    )
    for text in ("DROP TABLE x", LOWER + "; DROP TABLE x", LOWER.replace("USING", "WITH"), ""):
        assert index_statement(text, "i", table, ENUMS).sql is None


@pytest.mark.parametrize(
    "text",
    [
        "int; DROP",
        "text, y text",
        "text)",
        "text DEFAULT 1",
        'a"b',
        "a.b.c",
        "",
        "text[",
        "varchar(a)",
        "text\n",
    ],
)
def test_what_is_no_type_is_none(text: str) -> None:
    assert type_text(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "numeric(10,-2)",
        "timestamp(3) with time zone",
        "interval day to second(3)",
        "double precision[]",
        'p."T y"',
    ],
)
def test_types_as_the_server_prints_them_are_types(text: str) -> None:
    assert type_text(text) is not None
