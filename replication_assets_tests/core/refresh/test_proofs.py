"""Proofs: told in a line, kept as JSON, and never passed by default."""

import pytest

from replication_assets.core.refresh.proofs import Proof, Verification, joined
from replication_assets.errors import VerificationFailed

HOLDS = Proof("read back", True, "7 rows of 2 tables are as certified.", {"rows": 7, "tables": 2})
FAILS = Proof(
    "raw values", False, "2 values of shop.public.customers.email occur.", {"hits": 2, "share": 0.5}
)


def test_a_verification_passes_only_if_every_proof_does() -> None:
    assert Verification((HOLDS,)).passed
    assert not Verification((HOLDS, FAILS)).passed
    assert (Verification((HOLDS,)) + Verification((FAILS,))).failed == (FAILS,)


def test_nothing_proven_is_not_passed() -> None:
    assert not Verification(()).passed
    with pytest.raises(VerificationFailed, match="copy of qa: nothing was proven"):
        Verification(()).require("copy of qa")


def test_what_failed_is_named_and_readers_keep_the_copy_of_before() -> None:
    with pytest.raises(VerificationFailed) as failed:
        joined([Verification((HOLDS,)), Verification((FAILS,))]).require("copy of qa")

    assert "raw values: 2 values of shop.public.customers.email occur" in str(failed.value)
    assert "read back" not in str(failed.value)
    assert "copy of before" in failed.value.fix
    Verification((HOLDS,)).require("copy of qa")


def test_proofs_are_read_back_as_they_were_written() -> None:
    found = Verification((HOLDS, FAILS))

    assert Verification.from_json(found.to_json()) == found
    assert found.text().splitlines() == [str(HOLDS), str(FAILS)]
    assert str(FAILS).startswith("raw values: FAILED. 2 values")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "nothing",
        '[{"name":"a"}]',
        '[{"name":"a","passed":1,"what":"b","figures":{}}]',
        '[{"name":"a","passed":true,"what":"b","figures":{"rows":"many"}}]',
    ],
)
def test_what_is_no_verification_is_not_read_as_one(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Verification.from_json(text)
