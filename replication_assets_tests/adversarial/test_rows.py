"""Rows that are not sealed, sealed by somebody else, or for something else."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.masker import Rows
from replication_assets.core.masking.seal import Claims, SealedBatch, seal
from replication_assets.core.refresh.fingerprints import RawFingerprints
from replication_assets.errors import GuardError
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets_tests.adversarial.vault import Attack, canaries_in
from replication_assets_tests.e2e.refreshes import KEY_TEXT

FORMS: dict[str, Callable[[RawBatch], Any]] = {
    "raw": lambda raw: raw,
    "record batch": lambda raw: raw.reveal(),
    "table": lambda raw: pa.Table.from_batches([raw.reveal()]),
    "masked by hand": lambda raw: MaskedBatch(raw.reveal()),
    "rows": lambda raw: raw.reveal().to_pylist(),
    "bytes": lambda raw: raw.reveal().serialize().to_pybytes(),
}


def test_plain_rows_given_to_the_load_are_refused(attack: Attack) -> None:
    refreshing, plan = attack.plan()
    guard, raw = attack.raw(refreshing, plan)
    refreshing.target.begin(plan, [guard.stored.copy])
    load = refreshing.target.load
    for form in FORMS.values():
        given = form(raw)
        attack.refused(
            GuardError,
            "is no sealed batch",
            lambda given=given: load(plan, guard.stored.copy, given),  # type: ignore[misc]
        )


def test_plain_rows_given_to_the_staging_are_refused(attack: Attack) -> None:
    refreshing, plan = attack.plan()
    _, raw = attack.raw(refreshing, plan)
    for form in FORMS.values():
        given = form(raw)
        attack.refused(
            GuardError,
            "is no sealed batch",
            lambda given=given: refreshing.staging.put(given),  # type: ignore[misc]
        )


def claims_of(guard: TableGuard, **changes: str) -> Claims:
    plan, planned = guard.plan, guard.planned
    claims = Claims(
        environment=plan.environment,
        refresh=plan.id,
        table=str(planned.table),
        chunk=f"{planned.ranges[0]}.0",
        role="rows",
        policy=plan.policy,
        structure=planned.structure,
        key_id=plan.key_id,
    )
    return replace(claims, **changes)  # type: ignore[arg-type]


def test_raw_rows_cannot_be_sealed(attack: Attack) -> None:
    refreshing, plan = attack.plan()
    guard, raw = attack.raw(refreshing, plan)

    class Dressed(MaskedBatch):
        __slots__ = ()

    for rows in (raw, Dressed(raw.reveal())):
        attack.refused(
            GuardError,
            "cannot be sealed",
            lambda rows=rows: seal(rows, claims_of(guard), guard.keys, checksum=0, counts={}),  # type: ignore[misc]
        )


def test_raw_rows_sealed_with_a_key_of_the_attackers_own_are_refused(attack: Attack) -> None:
    refreshing, plan = attack.plan()
    guard, raw = attack.raw(refreshing, plan)
    keys = KeyRing(bytes(range(32)), environment=plan.environment, scope="qa")
    forged = seal(
        MaskedBatch(raw.reveal()), claims_of(guard, key_id=keys.key_id), keys, checksum=0, counts={}
    )
    relabelled = replace(forged.certificate, claims=claims_of(guard))
    refreshing.target.begin(plan, [guard.stored.copy])
    for certificate in (forged.certificate, relabelled):
        attack.refused(
            GuardError,
            "was not made by this environment's guard",
            lambda certificate=certificate: refreshing.target.load(  # type: ignore[misc]
                plan, guard.stored.copy, SealedBatch(forged.payload, certificate)
            ),
        )


@pytest.mark.parametrize("claim", ["refresh", "table", "policy", "structure"])
def test_rows_sealed_by_the_guard_for_something_else_are_refused(attack: Attack, claim: str) -> None:
    refreshing, plan = attack.plan()
    guard, raw = attack.raw(refreshing, plan)
    sealed = seal(
        guard.mask.mask(raw), claims_of(guard, **{claim: "another"}), guard.keys, checksum=0, counts={}
    )
    refreshing.target.begin(plan, [guard.stored.copy])
    attack.refused(
        GuardError,
        f"the certificate is for {claim} 'another'",
        lambda: refreshing.target.load(plan, guard.stored.copy, sealed),
    )


def test_a_certificate_put_upon_raw_rows_is_refused(attack: Attack) -> None:
    refreshing, plan = attack.plan()
    guard, raw = attack.raw(refreshing, plan)
    sealed = guard.seal_raw(raw, "rows", f"{guard.planned.ranges[0]}.0")
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, raw.reveal().schema) as writer:
        writer.write_batch(raw.reveal())
    refreshing.target.begin(plan, [guard.stored.copy])
    attack.refused(
        GuardError,
        "its rows were changed after masking",
        lambda: refreshing.target.load(
            plan, guard.stored.copy, SealedBatch(sink.getvalue(), sealed.certificate)
        ),
    )


def holders(attack: Attack) -> dict[str, Any]:
    refreshing, plan = attack.plan()
    guard, raw = attack.raw(refreshing, plan)
    fingerprints = RawFingerprints(bytes(16))
    fingerprints.add(raw.reveal().column("email"))
    return {
        "RawBatch": raw,
        "MaskedBatch": guard.mask.mask(raw),
        "Rows": Rows(raw.reveal(), ("id",)),
        "KeyRing": guard.keys,
        "TableMask": guard.mask,
        "RawFingerprints": fingerprints,
    }


def test_what_holds_raw_rows_or_keys_is_neither_pickled_nor_copied_nor_sent_to_a_process(
    attack: Attack,
) -> None:
    for held in holders(attack).values():
        ways: list[Callable[[Any], object]] = [pickle.dumps, ForkingPickler.dumps, copy.deepcopy]
        for way in ways:
            attack.refused(GuardError, "process", lambda way=way, held=held: way(held))  # type: ignore[misc]


def test_what_holds_raw_rows_or_keys_prints_neither(attack: Attack) -> None:
    for held in holders(attack).values():
        printed = f"{held!r} {held!s} {held:} {[held]} {{'x': held}}"
        assert canaries_in(printed) == []
        assert KEY_TEXT not in printed
        assert bytes.fromhex(KEY_TEXT).hex() not in printed


def test_raw_rows_given_from_op_to_op_stop_the_run(
    attack: Attack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    refreshing, plan = attack.plan()
    _, raw = attack.raw(refreshing, plan)
    folder = tmp_path_factory.mktemp("io")

    @dg.op
    def read() -> Any:
        return raw

    @dg.op
    def write(rows: Any) -> None: ...

    @dg.job(resource_defs={"io_manager": dg.fs_io_manager.configured({"base_dir": str(folder)})})
    def smuggle() -> None:
        write(read())

    with dg.DagsterInstance.ephemeral() as instance:
        done = smuggle.execute_in_process(instance=instance, raise_on_error=False)
        events = "\n".join(str(entry) for entry in instance.all_logs(done.run_id))
    assert not done.success
    assert "a RawBatch does not leave its process" in events
    assert canaries_in(events) == []
    assert [path for path in folder.rglob("*") if path.is_file() and canaries_in(path.read_bytes())] == []
