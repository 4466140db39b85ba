"""What lies between mask and load: sealed batches only, whole or not there, each in its place."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.seal import Certificate, Claims, SealedBatch
from replication_assets.core.positions import Position
from replication_assets.core.refresh.plan import CopiedTable, RefreshPlan
from replication_assets.core.schema import TableId
from replication_assets.errors import GuardError
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.staging import StagedBatches

TABLE = 'shop.a.b."odd"/../\N{PILE OF POO}'
PLAN = RefreshPlan(
    "1",
    "nightly",
    "qa",
    "p",
    "k",
    "full",
    (CopiedTable(TableId("shop", "a", "b"), Position(1, 2), ("r000000",), "s"),),
)
RANGE = (TABLE, "rows", "r000000")


def sealed(chunk: str = "r000000.0", payload: bytes = b"rows", table: str = TABLE) -> SealedBatch:
    """A batch as the seal makes it; what is signed is the loader's to check."""
    claims = Claims("qa", "nightly", table, chunk, "rows", "p", "s", "k")
    digest = hashlib.blake2b(payload, digest_size=32).hexdigest()
    return SealedBatch(payload, Certificate(claims, 3, digest, 2**63 + 5, "signature", {"email": 3}))


@pytest.fixture
def staging(local_store: DeltaEventStore) -> StagedBatches:
    found = local_store.staging("nightly")
    found.begin(PLAN.to_json())
    return found


def file_of(store_root: str, number: int = 0) -> Path:
    (found,) = Path(store_root).rglob(f"{number}.sealed")
    return found


def test_what_is_staged_whole_comes_back_as_it_was_sealed(store: DeltaEventStore) -> None:
    staging = store.staging("night/ly")
    assert staging.plan() is None
    staging.begin(PLAN.to_json())
    large = sealed("r000000.1", os.urandom(9 << 20))
    for each in (sealed(), sealed("r000000.1", b"of an attempt before"), large):
        staging.put(each)
    staging.complete(*RANGE, 2)
    again = store.staging("night/ly")
    assert again.plan() == PLAN.to_json()
    assert again.completed() == {RANGE: 2}
    assert again.certificates() == (sealed().certificate, large.certificate)
    assert [again.get(each) for each in again.certificates()] == [sealed(), large]
    assert store.staging("other").completed() == {}


def test_a_range_that_is_masked_again_begins_empty(store: DeltaEventStore) -> None:
    staging = store.staging("nightly")
    staging.begin(PLAN.to_json())
    other = sealed("r000001.0")
    for each in (sealed(), sealed("r000000.1"), other):
        staging.put(each)
    staging.complete(*RANGE, 2)
    staging.complete(TABLE, "rows", "r000001", 1)
    staging.restart(*RANGE)
    staging.restart(*RANGE)
    assert staging.completed() == {(TABLE, "rows", "r000001"): 1}
    with pytest.raises(GuardError, match=r"0\.sealed is missing"):
        staging.get(sealed().certificate)
    assert staging.get(other.certificate) == other


def test_another_plan_and_a_clearing_forget_all(store: DeltaEventStore) -> None:
    staging = store.staging("nightly")
    staging.clear()
    staging.begin(PLAN.to_json())
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    later = replace(PLAN, id="2")
    staging.begin(later.to_json())
    assert (staging.plan(), dict(staging.completed()), staging.certificates()) == (later.to_json(), {}, ())
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    staging.clear()
    staging.clear()
    assert (staging.plan(), dict(staging.completed()), staging.certificates()) == (None, {}, ())


def test_an_empty_range_is_complete_without_chunks(staging: StagedBatches) -> None:
    staging.complete(*RANGE, 0)
    assert staging.completed() == {RANGE: 0}
    assert staging.certificates() == ()


def test_a_range_is_not_complete_before_its_chunks_are_there(staging: StagedBatches) -> None:
    staging.put(sealed())
    with pytest.raises(GuardError, match=r"1\.sealed is missing"):
        staging.complete(*RANGE, 2)
    assert staging.completed() == {}
    assert staging.certificates() == ()


def test_a_process_that_dies_before_it_completes_a_range_leaves_none(
    staging: StagedBatches, local_store: DeltaEventStore
) -> None:
    program = f"""
        import os, signal
        from replication_assets.event_store import DeltaEventStore, whole_files
        from replication_assets_tests.event_store.test_staging import sealed
        staging = DeltaEventStore({local_store.root!r}).staging("nightly")
        staging.put(sealed())
        whole_files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        staging.put(sealed("r000000.1"))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -9
    assert staging.completed() == {}
    assert staging.get(sealed().certificate) == sealed()
    with pytest.raises(GuardError, match=r"1\.sealed is missing"):
        staging.get(sealed("r000000.1").certificate)
    staging.restart(*RANGE)
    assert [path for path in Path(local_store.root).rglob("*") if path.is_file()] == [
        Path(local_store.root) / "_staging/nightly/plan.json"
    ]


@pytest.mark.parametrize(
    "intruder",
    [
        RawBatch(pa.record_batch({"email": ["jo@example.org"]})),
        MaskedBatch(pa.record_batch({"email": ["jo@example.org"]})),
        pa.table({"email": ["jo@example.org"]}),
        pa.record_batch({"email": ["jo@example.org"]}),
        b"jo@example.org",
        "jo@example.org",
        None,
        (b"jo@example.org", sealed().certificate),
        SealedBatch(pa.table({"email": ["jo@example.org"]}), sealed().certificate),
        SealedBatch(b"jo@example.org", b"certificate"),  # type: ignore[arg-type]
        SealedBatch(b"jo@example.org", sealed().certificate),
    ],
    ids=lambda intruder: type(intruder).__name__,
)
def test_nothing_but_a_sealed_batch_is_staged(
    staging: StagedBatches, local_store: DeltaEventStore, intruder: object
) -> None:
    with pytest.raises(GuardError) as raised:
        staging.put(intruder)  # type: ignore[arg-type]
    assert "jo@example.org" not in str(raised.value)
    staged = [path.name for path in Path(local_store.root).rglob("*") if path.is_file()]
    assert staged == ["plan.json"]


class Disguised(SealedBatch):
    """A sealed batch with a method of its own."""


def test_what_only_looks_like_a_sealed_batch_is_refused(staging: StagedBatches) -> None:
    with pytest.raises(GuardError, match="Disguised is no sealed batch"):
        staging.put(Disguised(b"rows", sealed().certificate))


@pytest.mark.parametrize(
    "text",
    [
        "jo@example.org",
        '["jo@example.org"]',
        PLAN.to_json().replace('"id": "1"', '"id": "1", "rows": "jo@example.org"'),
    ],
)
def test_nothing_but_a_plan_is_begun(staging: StagedBatches, local_store: DeltaEventStore, text: str) -> None:
    with pytest.raises(GuardError, match="no plan of a refresh"):
        staging.begin(text)
    assert staging.plan() == PLAN.to_json()


def test_what_rides_along_with_a_plan_is_not_stored(staging: StagedBatches) -> None:
    staging.begin(PLAN.to_json().replace('"structure": "s"', '"structure": "s", "row": "jo@example.org"'))
    assert staging.plan() == PLAN.to_json()


@pytest.mark.parametrize("chunk", ["r000000", "r000000.", ".0", "r000000.01", "r000000.-1", "r000000.²"])
def test_a_chunk_is_numbered_within_its_range(staging: StagedBatches, chunk: str) -> None:
    with pytest.raises(GuardError, match="is not called <range>"):
        staging.put(sealed(chunk))


@given(cut=st.integers(0, 10_000))
def test_a_file_that_is_cut_anywhere_is_named(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    store, staging = completed_at(tmp_path_factory)
    path = file_of(store.root)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(GuardError, match=r"0\.sealed"):
        staging.get(sealed().certificate)
    with pytest.raises(GuardError, match=r"0\.sealed"):
        staging.certificates()


@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_byte_that_is_changed_anywhere_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    store, staging = completed_at(tmp_path_factory)
    path = file_of(store.root)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content)
    with pytest.raises(GuardError, match=r"0\.sealed"):
        staging.get(sealed().certificate)


def completed_at(tmp_path_factory: pytest.TempPathFactory) -> tuple[DeltaEventStore, StagedBatches]:
    store = DeltaEventStore(str(tmp_path_factory.mktemp("store")))
    staging = store.staging("nightly")
    staging.begin(PLAN.to_json())
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    return store, staging


def test_chunks_that_were_exchanged_are_named(staging: StagedBatches, local_store: DeltaEventStore) -> None:
    first, second = sealed(payload=b"one"), sealed("r000000.1", b"two")
    for each in (first, second):
        staging.put(each)
    staging.complete(*RANGE, 2)
    one, two = file_of(local_store.root, 0), file_of(local_store.root, 1)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with pytest.raises(GuardError, match=r"0\.sealed holds a batch that belongs elsewhere"):
        staging.certificates()
    with pytest.raises(GuardError, match=r"0\.sealed holds another batch"):
        staging.get(first.certificate)


def test_a_chunk_that_is_lost_after_its_range_was_complete_is_named(
    staging: StagedBatches, local_store: DeltaEventStore
) -> None:
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    file_of(local_store.root).unlink()
    with pytest.raises(GuardError, match=r"0\.sealed is missing"):
        staging.certificates()


@pytest.mark.parametrize("content", ["", "{}", '{"table": 1, "role": "rows", "id_range": "r", "chunks": 1}'])
def test_an_unreadable_note_completes_nothing(
    staging: StagedBatches, local_store: DeltaEventStore, content: str
) -> None:
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    (note,) = Path(local_store.root).rglob("complete.json")
    note.write_text(content)
    assert staging.completed() == {}


def test_a_note_in_another_place_completes_nothing(
    staging: StagedBatches, local_store: DeltaEventStore
) -> None:
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    staging.put(sealed(table="shop.public.other"))
    (note,) = Path(local_store.root).rglob("complete.json")
    other = next(path for path in Path(local_store.root).rglob("0.sealed") if path.parent != note.parent)
    note.rename(other.parent / note.name)
    assert staging.completed() == {}


def test_files_on_a_disk_are_their_owners_alone(staging: StagedBatches, local_store: DeltaEventStore) -> None:
    staging.put(sealed())
    staging.complete(*RANGE, 1)
    files = [path for path in Path(local_store.root).rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["0.sealed", "complete.json", "plan.json"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_plan_of_another_release_is_none(staging: StagedBatches, local_store: DeltaEventStore) -> None:
    (Path(local_store.root) / "_staging/nightly/plan.json").write_text('{"id": "1", "what": "new"}')
    assert staging.plan() is None
    assert staging.completed() == {}
