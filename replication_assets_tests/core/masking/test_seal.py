"""The seal: a target takes the very rows that its own environment's guard made for it, and nothing else."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import asdict, fields, replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.seal import Certificate, Claims, SealedBatch, open_sealed, seal
from replication_assets.errors import GuardError

QA = KeyRing(bytes(range(32)), environment="qa", scope="nonproduction")
DEV = KeyRing(bytes(range(32)), environment="dev", scope="nonproduction")
ROWS = pa.RecordBatch.from_pydict({"id": [1, 2, 3], "email": ["x@masked.invalid", None, "y@masked.invalid"]})
CLAIMS = Claims("qa", "r-1", "crm.public.customer", "0001", "rows", "policy", "structure", QA.key_id)


def sealed(batch: pa.RecordBatch = ROWS, claims: Claims = CLAIMS, keys: KeyRing = QA) -> SealedBatch:
    return seal(MaskedBatch(batch), claims, keys, checksum=2**63 + 5, counts={"email:Email": 3})


def refusal(batch: SealedBatch, public_key: str = QA.public_key, expected: Claims = CLAIMS) -> str:
    with pytest.raises(GuardError) as raised:
        open_sealed(batch, public_key, expected)
    assert "masked.invalid" not in str(raised.value)
    return str(raised.value)


def test_rows_come_out_as_they_were_sealed() -> None:
    assert open_sealed(sealed(), QA.public_key, CLAIMS).equals(ROWS)


def test_batches_without_rows_are_sealed() -> None:
    empty = ROWS.slice(0, 0)
    assert open_sealed(sealed(empty), QA.public_key, CLAIMS).equals(empty)


def test_a_slice_is_sealed_without_what_stands_around_it() -> None:
    rows = pa.RecordBatch.from_pydict({"note": [f"row number {number}" for number in range(1000)]})
    part = sealed(rows.slice(500, 2))
    assert open_sealed(part, QA.public_key, CLAIMS).to_pydict() == {
        "note": ["row number 500", "row number 501"]
    }
    assert len(part.payload) < 1000


def test_a_certificate_survives_being_stored() -> None:
    certificate = sealed().certificate
    assert Certificate.from_json(certificate.to_json()) == certificate
    assert (certificate.rows, certificate.checksum, certificate.counts) == (3, 2**63 + 5, {"email:Email": 3})


def test_sealed_batches_may_leave_the_process_and_do_not_print_their_rows() -> None:
    batch = pickle.loads(pickle.dumps(sealed()))
    assert open_sealed(batch, QA.public_key, CLAIMS).equals(ROWS)
    assert repr(batch) == "SealedBatch(crm.public.customer 0001)"


@pytest.mark.parametrize("rows", [RawBatch(ROWS), ROWS, None], ids=lambda rows: type(rows).__name__)
def test_only_masked_rows_are_sealed(rows: object) -> None:
    with pytest.raises(GuardError, match=f"a {type(rows).__name__} cannot be sealed"):
        seal(rows, CLAIMS, QA, checksum=0, counts={})  # type: ignore[arg-type]


def test_a_masked_batch_of_somebody_s_own_making_is_not_sealed() -> None:
    class Pretended(MaskedBatch):
        __slots__ = ()

    with pytest.raises(GuardError, match="a Pretended cannot be sealed"):
        seal(Pretended(ROWS), CLAIMS, QA, checksum=0, counts={})


def test_keys_of_another_environment_do_not_seal() -> None:
    with pytest.raises(GuardError, match="another environment"):
        sealed(keys=DEV)
    with pytest.raises(GuardError, match="another environment"):
        sealed(claims=replace(CLAIMS, key_id=DEV.key_id))


@pytest.mark.parametrize("name", [each.name for each in fields(Claims) if each.name not in ("chunk", "role")])
def test_a_batch_for_something_else_is_refused_by_what_differs(name: str) -> None:
    assert f"the certificate is for {name}" in refusal(sealed(), expected=replace(CLAIMS, **{name: "other"}))


@pytest.mark.parametrize("name", [each.name for each in fields(Claims)])
def test_claims_that_were_changed_after_signing_are_refused(name: str) -> None:
    batch = sealed()
    claims = replace(CLAIMS, **{name: "deletes" if name == "role" else "other"})
    forged = replace(batch, certificate=replace(batch.certificate, claims=claims))
    assert "was not made by this environment's guard" in refusal(forged, expected=claims)


@pytest.mark.parametrize(
    "changes",
    [{"rows": 2}, {"checksum": 7}, {"digest": "0" * 64}, {"counts": {"email:Email": 4}}, {"signature": ""}],
    ids=str,
)
def test_figures_that_were_changed_after_signing_are_refused(changes: dict[str, object]) -> None:
    batch = sealed()
    forged = replace(batch, certificate=replace(batch.certificate, **changes))  # type: ignore[arg-type]
    assert "was not made by this environment's guard" in refusal(forged)


def test_rows_that_were_swapped_after_masking_are_refused() -> None:
    raw = pa.RecordBatch.from_pydict({"id": [1, 2, 3], "email": ["a@b.com", "c@d.com", "e@f.com"]})
    forged = SealedBatch(sealed(raw).payload, sealed().certificate)
    assert "changed after masking" in refusal(forged)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_byte_of_the_rows_may_change(data: st.DataObject) -> None:
    batch = sealed()
    place = data.draw(st.integers(0, len(batch.payload) - 1))
    changed = bytearray(batch.payload)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert "changed after masking" in refusal(replace(batch, payload=bytes(changed)))


def test_rows_added_or_cut_off_are_refused() -> None:
    batch = sealed()
    for payload in (b"", batch.payload[:-1], batch.payload + b"\0", batch.payload * 2):
        assert "changed after masking" in refusal(replace(batch, payload=payload))


def test_a_certificate_of_another_environment_s_guard_is_refused() -> None:
    claims = replace(CLAIMS, environment="dev", key_id=DEV.key_id)
    batch = sealed(claims=claims, keys=DEV)
    assert "was not made by this environment's guard" in refusal(batch, expected=claims)
    assert "is for environment 'dev'" in refusal(batch, DEV.public_key)


@pytest.mark.parametrize("public_key", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_marker_without_a_key_takes_nothing(public_key: str) -> None:
    assert "was not made by this environment's guard" in refusal(sealed(), public_key)


@pytest.mark.parametrize("signature", ["", "?", base64.b64encode(bytes(64)).decode(), "A" * 10_000])
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    batch = sealed()
    forged = replace(batch, certificate=replace(batch.certificate, signature=signature))
    assert "was not made by this environment's guard" in refusal(forged)


def without(certificate: Certificate, name: str) -> str:
    found = asdict(certificate)
    del found[name]
    return json.dumps(found)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", "7", '"certificate"', "{", without(sealed().certificate, "signature")),
        without(sealed().certificate, "claims"),
        json.dumps(asdict(sealed().certificate) | {"more": 1}),
        json.dumps(asdict(sealed().certificate) | {"claims": {"environment": "qa"}}),
    ],
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(GuardError, match="no certificate"):
        Certificate.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [{"rows": "3"}, {"rows": True}, {"checksum": 1.5}, {"digest": None}, {"signature": 7}, {"counts": []}],
    ids=str,
)
def test_a_certificate_with_parts_of_other_types_is_refused(changes: dict[str, object]) -> None:
    text = json.dumps(asdict(sealed().certificate) | changes)
    with pytest.raises(GuardError):
        open_sealed(SealedBatch(sealed().payload, Certificate.from_json(text)), QA.public_key, CLAIMS)


@pytest.mark.parametrize("kind", [RawBatch, MaskedBatch])
def test_unsealed_rows_are_not_printed_and_do_not_leave_their_process(
    kind: type[RawBatch | MaskedBatch],
) -> None:
    batch = kind(ROWS)
    assert repr(batch) == str(batch) == f"{kind.__name__}(3 rows of 2 columns)"
    assert len(batch) == 3
    assert batch.reveal().equals(ROWS)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(GuardError, match=f"a {kind.__name__} does not leave its process"):
            pickle.dumps(batch, protocol)
