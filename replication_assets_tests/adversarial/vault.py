"""A source of nothing but canaries, and where they are looked for.

Every value that a rule replaces holds one of `CANARIES`. They are looked for in everything that a
refresh leaves behind: the whole target database as its server's own `pg_dump` writes it, the staging
area, the audit, and whatever an error says.
"""

from __future__ import annotations

import os
import subprocess
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
import pytest

from replication_assets.catalog import Catalog, Table
from replication_assets.core.masking.batches import RawBatch
from replication_assets.core.masking.policy import MaskingPolicy, Namespace
from replication_assets.core.masking.rules import (
    CardNumber,
    DateShift,
    DigitsId,
    Email,
    FreeText,
    IntegerId,
    JsonPaths,
    Keep,
    Null,
    PersonName,
    Phone,
    UuidId,
)
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.declarations import Environment, EnvironmentRefresh, PostgresTarget
from replication_assets.flows.masking.environment import set_up_environment
from replication_assets.flows.refresh.compiled import TableGuard, guards
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.replication import Replication
from replication_assets.secret_references import EnvVar
from replication_assets_tests.e2e.refreshes import KEY, KEY_TEXT, policy_of
from replication_assets_tests.e2e.system import System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

T = TypeVar("T")

WORD = "can" + "ary"
MAIL = WORD + "{}@raw-mail.example"
FIRST_ID, SSN, PHONE, CARD = 700_000_001, "917304{:03}", "+3199988877{}", "4539148803436467"
UID, BORN = "cacacaca-cafe-4aca-8aca-{:012}", "1931-07-01"
LOST = "lost-" + WORD + "@nowhere-else.example"
"""An address that no row has any more: only a default and an index know it."""

CANARIES = (WORD, WORD.encode().hex(), "70000000", "917304", "3199988877", CARD, "cacacaca", BORN)

SCHEMA = f"""
CREATE TYPE state AS ENUM ('placed', 'paid');
CREATE TYPE mood AS ENUM ('placed', 'paid');
CREATE TYPE named AS ENUM ('{MAIL.format(2)}', 'nobody');
CREATE TABLE people (
    id integer PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    phone text,
    born date,
    ssn text,
    card text,
    secret text,
    profile jsonb,
    note text,
    status state NOT NULL,
    uid uuid,
    photo bytea,
    label text GENERATED ALWAYS AS (email || ' / ' || name) STORED);
COMMENT ON TABLE people IS 'ask {WORD}1@raw-mail.example';
COMMENT ON COLUMN people.email IS 'such as {WORD}2@raw-mail.example';
CREATE TABLE visits (
    id bigint PRIMARY KEY, person_id integer NOT NULL REFERENCES people, contact text, remark varchar(60));
CREATE INDEX visits_contact ON visits (lower(contact));
CREATE TABLE papers (id integer PRIMARY KEY, doc jsonb, text text, xml text, digits text, big bigint);
CREATE TABLE drifting (id integer PRIMARY KEY, email text NOT NULL, mood mood NOT NULL, region text);
CREATE TABLE defaults (id integer PRIMARY KEY, contact text DEFAULT '{MAIL.format(3)}');
CREATE TABLE checks (id integer PRIMARY KEY, contact text CHECK (contact <> '{MAIL.format(3)}' OR id > 0));
CREATE TABLE partial (id integer PRIMARY KEY, contact text);
CREATE INDEX partial_contact ON partial (id) WHERE contact = '{MAIL.format(3)}';
CREATE TABLE expression (id integer PRIMARY KEY, contact text);
CREATE INDEX expression_contact ON expression ((coalesce(contact, '{MAIL.format(3)}')));
CREATE TABLE stray_default (id integer PRIMARY KEY, contact text DEFAULT '{LOST}');
CREATE TABLE stray_index (id integer PRIMARY KEY, contact text);
CREATE INDEX stray_contact ON stray_index (id) WHERE contact = '{LOST}';
CREATE TABLE labels (id integer PRIMARY KEY, contact text, who named);
"""

ROWS = f"""
INSERT INTO people
SELECT {FIRST_ID} + i, '{WORD}' || i || '@raw-mail.example', 'Zzyzx {WORD}ius ' || i, '+3199988877' || i,
       date '{BORN}', '917304' || lpad(i::text, 3, '0'), '{CARD}', 'token-{WORD}-' || i,
       jsonb_build_object('plan', 'gold', 'deep', jsonb_build_array(jsonb_build_object('m', '{WORD}' || i))),
       'the {WORD} said ' || i, 'paid', ('cacacaca-cafe-4aca-8aca-' || lpad(i::text, 12, '0'))::uuid,
       convert_to('{WORD}', 'UTF8')
FROM generate_series(1, 6) i;
INSERT INTO visits SELECT i, {FIRST_ID} + i, '{WORD}' || i || '@raw-mail.example', 'a {WORD} remark ' || i
FROM generate_series(1, 6) i;
INSERT INTO papers
SELECT i, jsonb_build_object('plan', jsonb_build_object('hidden', '{WORD}' || i), 'mail', '{WORD}' || i,
       'list', jsonb_build_array(jsonb_build_array('{WORD}' || i), jsonb_build_object('deep', '{WORD}'))),
       'a {WORD} text ' || i,
       '<!-- {WORD} --><r a="{WORD}' || i || '"><m>{WORD}' || i || '</m><?pi {WORD}?><k>kept</k></r>',
       'no digits, {WORD}' || i, 9000000000 + 700000000 + i
FROM generate_series(1, 6) i;
INSERT INTO drifting SELECT i, '{WORD}' || i || '@raw-mail.example', 'paid' FROM generate_series(1, 6) i;
INSERT INTO labels SELECT i, '{WORD}' || i || '@raw-mail.example', 'nobody' FROM generate_series(1, 6) i;
"""
CONTACTS = ("defaults", "checks", "partial", "expression", "stray_default", "stray_index")

Rules = Mapping[str, Mapping[str, tuple[str, Any]]]
CONTACT: Mapping[str, tuple[str, Any]] = {
    "id": ("public", Keep()),
    "contact": ("pii.email", Email()),
}
RULES: Rules = {
    "people": {
        "id": ("pii.identifier", IntegerId("person")),
        "email": ("pii.email", Email()),
        "name": ("pii.name", PersonName()),
        "phone": ("pii.phone", Phone()),
        "born": ("pii.birth", DateShift(entity="id")),
        "ssn": ("pii.ssn", DigitsId("ssn")),
        "card": ("pii.card", CardNumber()),
        "secret": ("secret.token", Null()),
        "profile": ("pii.json", JsonPaths({"$.plan": Keep()})),
        "note": ("pii.text", FreeText()),
        "status": ("public", Keep()),
        "uid": ("pii.identifier", UuidId("person")),
        "photo": ("pii.photo", Null()),
    },
    "visits": {
        "id": ("public", Keep()),
        "person_id": ("pii.identifier", IntegerId("person")),
        "contact": ("pii.email", Email()),
        "remark": ("pii.text", FreeText()),
    },
    "papers": {
        "id": ("public", Keep()),
        "doc": ("pii.json", Null()),
        "text": ("pii.text", Null()),
        "xml": ("pii.xml", Null()),
        "digits": ("pii.id", Null()),
        "big": ("pii.id", Null()),
    },
    "drifting": {
        "id": ("public", Keep()),
        "email": ("pii.email", Email()),
        "mood": ("public", Keep()),
        "region": ("public", Keep()),
    },
    **dict.fromkeys(CONTACTS, CONTACT),
    "labels": {**CONTACT, "who": ("public", Keep())},
}
NAMESPACES = (
    Namespace("person", low=1, high=2**31 - 1),
    Namespace("small", low=1, high=2_000_000),
    Namespace("email", normalise=("nfc", "trim")),
)


def canaries_in(text: str | bytes) -> list[str]:
    """Those that occur, in any case."""
    content = (text.encode(errors="replace") if isinstance(text, str) else text).lower()
    return [each for each in CANARIES if each.encode().lower() in content]


def told(error: BaseException) -> str:
    """Everything that a log or a run's page may show of an error, its causes included."""
    parts = traceback.format_exception(error)
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), *(repr(each) for each in seen.args)]
        parts += getattr(seen, "__notes__", [])
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(parts)


@dataclass(frozen=True)
class Vault:
    """The prepared source and event store; nobody writes to it but tests of drift, to tables of their own."""

    system: System
    folder: Path
    database: FreshDatabase


@dataclass(frozen=True)
class Attack:
    """One environment, empty and set up, beside the vault."""

    system: System
    database: FreshDatabase
    folder: Path

    @property
    def catalog(self) -> Catalog:
        return self.system.catalog

    @property
    def environment(self) -> Environment:
        return self.catalog.environments[0]

    def on(self, *tables: str, **declared: Any) -> Attack:
        """The same with other tables, or another declaration of the refresh."""
        chosen = {"tables": tuple(f"app.public.{name}" for name in tables)} if tables else {}
        refresh = replace(self.catalog.refreshes[0], **{**chosen, **declared})
        return self.with_catalog(refreshes=(refresh,))

    def ruled(self, table: str, **rules: tuple[str, Any] | None) -> Attack:
        """With other rules for columns of a table; None leaves the column out of the policy."""
        changed = {**RULES[table], **rules}
        columns = {name: rule for name, rule in changed.items() if rule is not None}
        return self.with_catalog(policies=(policy(self.system, {**RULES, table: columns}),))

    def with_catalog(self, **changes: Any) -> Attack:
        return replace(self, system=replace(self.system, catalog=replace(self.catalog, **changes).validate()))

    def refreshing(self) -> Refreshing:
        return Refreshing.of(Replication(self.catalog), "nightly", who="tests")

    def plan(self) -> tuple[Refreshing, RefreshPlan]:
        refreshing = self.refreshing()
        return refreshing, plan_refresh(refreshing, run="attack", fresh=True)

    def masked(self) -> tuple[Refreshing, RefreshPlan]:
        refreshing, plan = self.plan()
        mask_refresh(refreshing, plan, run="attack")
        return refreshing, plan

    def loaded(self) -> tuple[Refreshing, RefreshPlan]:
        refreshing, plan = self.masked()
        load_refresh(refreshing, plan, run="attack")
        return refreshing, plan

    def run(self) -> Any:
        return run_refresh(self.refreshing(), run="attack", fresh=True)

    def raw(self, refreshing: Refreshing, plan: RefreshPlan) -> tuple[TableGuard, RawBatch]:
        """The guard of the plan's first table, and rows as the mask step reads them."""
        guard = guards(refreshing, plan)[0]
        batches = list(guard.read(guard.planned.ranges[0], columns=guard.stored.schema.names))
        return guard, RawBatch(pa.concat_batches(batches))

    def staged(self, table: str = "") -> list[Path]:
        """Files of sealed batches, of a table or all."""
        found = sorted(self.folder.rglob("*.sealed"))
        return [path for path in found if not table or f".{table}/" in str(path).replace("%2E", ".")]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn, autocommit=True) as session:
            found = session.execute(query.encode())
            return found.fetchall() if found.description is not None else []

    def dump(self) -> bytes:
        """The whole database, as its server's own program writes it."""
        server = self.database.server
        command = [str(server.binaries / "pg_dump"), "--no-sync", self.database.dsn]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def refused(self, error: type[BaseException], words: str, work: Callable[[], object]) -> BaseException:
        """The attempt ends with this error, which says why and quotes nothing. That nothing arrived, the
        fixture looks at when the test is over."""
        with pytest.raises(error, match=words) as caught:
            work()
        assert canaries_in(told(caught.value)) == []
        return caught.value

    def require_nothing_raw(self) -> None:
        assert canaries_in(self.dump()) == [], "raw values in the target"
        for path in (*self.folder.rglob("*.sealed"), *self.folder.rglob("plan.json")):
            content = path.read_bytes()
            assert canaries_in(content) == [], path
            start = content.find(b"\xff\xff\xff\xff")
            if path.suffix == ".sealed":
                rows = pa.ipc.open_stream(content[start:]).read_all()
                assert canaries_in(str(rows.to_pylist())) == [], path
        for line in self.refreshing().audit.lines():
            assert canaries_in(str(line)) == [], line

    def published(self) -> bool:
        return self.refreshing().target.published() is not None


def policy(system: System, rules: Rules = RULES) -> MaskingPolicy:
    return replace(policy_of(system, rules), namespaces=NAMESPACES)


def vault_in(database: FreshDatabase, folder: Path) -> Vault:
    system = system_of(database, folder, [Table(f"app.public.{name}") for name in RULES])
    contacts = "\n".join(
        f"INSERT INTO {name} SELECT i, '{WORD}' || i || '@raw-mail.example' FROM generate_series(1, 6) i;"
        for name in CONTACTS
    )
    system.execute(SCHEMA, ROWS, contacts)
    system.prepare()
    system.load_all()
    system.capture()
    return Vault(system, folder, database)


def environment_in(database: FreshDatabase, name: str) -> Environment:
    target = PostgresTarget(
        host="127.0.0.1",
        port=database.server.port,
        database=database.name,
        user="postgres",
        sslmode="disable",
    )
    return Environment(name, target=target, mask_key=EnvVar(KEY))


def attack_on(vault: Vault) -> Iterator[Attack]:
    os.environ[KEY] = KEY_TEXT
    with fresh_database(vault.database.server) as qa:
        # A name of its own, and so an audit: a long one takes long to follow.
        environment = environment_in(qa, f"qa_{qa.name[-8:]}")
        catalog = replace(
            vault.system.catalog,
            policies=(policy(vault.system),),
            environments=(environment,),
            refreshes=(
                EnvironmentRefresh(
                    "nightly",
                    environment=environment.name,
                    policy="shop",
                    tables=("app.public.people", "app.public.visits"),
                ),
            ),
        )
        system = replace(vault.system, catalog=catalog.validate())
        set_up_environment(system.replication, environment, who="tests")
        yield Attack(system, qa, vault.folder / "event_store")
