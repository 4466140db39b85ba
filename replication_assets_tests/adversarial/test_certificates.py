"""The staging area in the hands of somebody who may write files, and has no key."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from replication_assets.core.masking.seal import Certificate, SealedBatch
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.errors import GuardError, ReplicationError
from replication_assets.event_store.staging import StagedBatches
from replication_assets.flows.refresh.compiled import guards
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.verify import verify_refresh
from replication_assets_tests.adversarial.vault import Attack

HEAD = struct.Struct(">8sIQ32s")


def read(path: Path) -> SealedBatch:
    content = path.read_bytes()
    _, length, _, _ = HEAD.unpack_from(content)
    start = HEAD.size + length
    return SealedBatch(content[start:], Certificate.from_json(content[HEAD.size : start].decode()))


def write(path: Path, sealed: SealedBatch) -> None:
    """With everything right that needs no key."""
    told = sealed.certificate.to_json().encode()
    check = hashlib.blake2b(told, digest_size=32).digest()
    head = HEAD.pack(b"RASEAL1\n", len(told), len(sealed.payload), check)
    path.write_bytes(head + told + sealed.payload)


def file_of(refreshing: Refreshing, table: str) -> Path:
    """The one file of a table that is staged."""
    (certificate,) = [
        each for each in refreshing.staging.certificates() if each.claims.table == f"app.public.{table}"
    ]
    staging = refreshing.staging
    assert isinstance(staging, StagedBatches)
    folder = Path(staging._place.uri.removeprefix("file://"))
    return folder / staging._path(certificate)


def payload_of(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def changed_rows(sealed: SealedBatch) -> bytes:
    """Other rows of the same columns: every text is one of the attacker's."""
    batch = pa.ipc.open_stream(sealed.payload).read_next_batch()
    at = batch.schema.names.index("email")
    return payload_of(batch.set_column(at, "email", pa.array([f"x{i}@put-in.example" for i in range(6)])))


def test_rows_changed_in_a_staged_file_are_refused(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    path = file_of(refreshing, "people")
    sealed = read(path)
    write(path, replace(sealed, payload=changed_rows(sealed)))
    attack.refused(
        GuardError,
        "its rows are not those that were sealed",
        lambda: load_refresh(refreshing, plan, run="load"),
    )
    assert b"put-in" not in attack.dump()


def test_a_staged_file_with_every_digest_made_anew_is_refused_for_its_signature(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    path = file_of(refreshing, "people")
    sealed = read(path)
    payload = changed_rows(sealed)
    digest = hashlib.blake2b(payload, digest_size=32).hexdigest()
    write(path, SealedBatch(payload, replace(sealed.certificate, digest=digest)))
    attack.refused(
        GuardError,
        "was not made by this environment's guard",
        lambda: load_refresh(refreshing, plan, run="load"),
    )
    assert b"put-in" not in attack.dump()


def test_the_files_of_two_tables_exchanged_are_refused(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    one, other = file_of(refreshing, "people"), file_of(refreshing, "visits")
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    attack.refused(GuardError, "belongs elsewhere", lambda: load_refresh(refreshing, plan, run="load"))


def test_a_batch_relabelled_for_another_table_is_refused_for_its_signature(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    one, other = file_of(refreshing, "people"), file_of(refreshing, "visits")
    sealed, there = read(one), read(other)
    claims = replace(sealed.certificate.claims, table=there.certificate.claims.table)
    write(other, replace(sealed, certificate=replace(sealed.certificate, claims=claims)))
    attack.refused(
        GuardError,
        "was not made by this environment's guard",
        lambda: load_refresh(refreshing, plan, run="load"),
    )


def test_yesterdays_batch_in_the_place_of_todays_is_refused(attack: Attack) -> None:
    refreshing, _ = attack.masked()
    yesterday = file_of(refreshing, "visits").read_bytes()
    refreshing, plan = attack.masked()
    file_of(refreshing, "visits").write_bytes(yesterday)
    attack.refused(GuardError, "staged that is not due", lambda: load_refresh(refreshing, plan, run="load"))


def test_yesterdays_batch_given_to_the_load_itself_is_refused(attack: Attack) -> None:
    refreshing, _ = attack.masked()
    yesterday = read(file_of(refreshing, "visits"))
    refreshing, plan = attack.masked()
    found = guards(refreshing, plan)
    guard = next(each for each in found if each.name.endswith("visits"))
    refreshing.target.begin(plan, [each.stored.copy for each in found])
    attack.refused(
        GuardError,
        "the certificate is for refresh",
        lambda: refreshing.target.load(plan, guard.stored.copy, yesterday),
    )


def test_a_chunk_that_nobody_planned_is_refused(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    path = file_of(refreshing, "visits")
    sealed = read(path)
    claims = replace(sealed.certificate.claims, chunk=sealed.certificate.claims.chunk.replace(".0", ".1"))
    write(path.with_name("1.sealed"), replace(sealed, certificate=replace(sealed.certificate, claims=claims)))
    note = path.with_name("complete.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "chunks": 2}))
    attack.refused(
        GuardError,
        "other numbers of rows are staged than were masked",
        lambda: load_refresh(refreshing, plan, run="load"),
    )


def test_a_range_that_nobody_planned_is_refused(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    path = file_of(refreshing, "visits")
    sealed = read(path)
    claims = replace(sealed.certificate.claims, chunk="generated.0", role="generated")
    forged = replace(sealed, certificate=replace(sealed.certificate, claims=claims))
    refreshing.staging.put(forged)
    refreshing.staging.complete(claims.table, "generated", "generated", 1)
    attack.refused(GuardError, "that is not due", lambda: load_refresh(refreshing, plan, run="load"))


def test_a_lowered_number_of_chunks_is_found_and_no_part_of_a_table_is_published(attack: Attack) -> None:
    attack = attack.on(chunk_rows=2)
    refreshing, plan = attack.masked()
    staging = refreshing.staging
    assert isinstance(staging, StagedBatches)
    for note in Path(staging._place.uri.removeprefix("file://")).rglob("complete.json"):
        found = json.loads(note.read_text())
        if found["table"].endswith("visits"):
            note.write_text(json.dumps({**found, "chunks": 1}))
    attack.refused(
        GuardError,
        "other numbers of rows are staged than were masked",
        lambda: load_refresh(refreshing, plan, run="load"),
    )
    assert not attack.published()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda plan: replace(plan, environment="another"), "environment"),
        (lambda plan: replace(plan, policy="0" * 32), "policy"),
        (lambda plan: replace(plan, key_id="0" * 16), "key"),
        (lambda plan: replace(plan, tables=plan.tables[:1], id="0" * 32), "superseded"),
    ],
)
def test_a_plan_changed_on_its_way_between_steps_is_refused(
    attack: Attack, change: Callable[[RefreshPlan], RefreshPlan], words: str
) -> None:
    refreshing, plan = attack.loaded()
    attack.refused(ReplicationError, words, lambda: verify_refresh(refreshing, change(plan), run="verify"))
    assert not attack.published()
