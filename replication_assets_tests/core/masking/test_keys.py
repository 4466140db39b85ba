"""Keys of masks: one root, a key of its own for every purpose, and none where the root is not random."""

from __future__ import annotations

import base64
import itertools
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from replication_assets.core.masking.keys import KeyRing
from replication_assets.errors import GuardError

ROOT = bytes(range(100, 132))


def ring(root: bytes = ROOT, environment: str = "qa", scope: str = "nonproduction") -> KeyRing:
    return KeyRing(root, environment=environment, scope=scope)


def refusal(text: str) -> str:
    with pytest.raises(GuardError) as raised:
        KeyRing.from_text(text, environment="qa", scope="qa")
    if len(text) > 8:
        assert text not in str(raised.value)
    assert raised.value.__cause__ is None
    assert "environment qa" in str(raised.value)
    return str(raised.value)


def test_hex_and_base64_of_one_root_are_the_same_keys() -> None:
    texts = [ROOT.hex(), ROOT.hex().upper(), f"{ROOT.hex()}\n", base64.b64encode(ROOT).decode()]
    rings = [KeyRing.from_text(text, environment="qa", scope="nonproduction") for text in texts]
    assert {each.key_id for each in rings} == {ring().key_id}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "fewer than 32"),
        ("00" * 31, "31 bytes, fewer than 32"),
        (ROOT[:31].hex(), "31 bytes, fewer than 32"),
        (base64.b64encode(ROOT[:16]).decode(), "fewer than 32"),
        ("change me to a secret", "neither hex nor base64"),
        ("é" * 64, "neither hex nor base64"),
        ("00" * 32, "not random"),
        ("ab" * 32, "not random"),
        ("0123456789abcdef" * 4 + "0", "neither hex nor base64"),
        (base64.b64encode(b"passwordpasswordpasswordpassword")[:-1].decode(), "neither hex nor base64"),
    ],
)
def test_a_root_that_is_no_random_key_is_refused(text: str, words: str) -> None:
    assert words in refusal(text)


def test_a_root_that_repeats_a_few_bytes_is_refused() -> None:
    with pytest.raises(GuardError, match="not random"):
        ring(b"abcdefg" * 10)
    assert ring(bytes(range(8)) * 4).key_id


def test_every_purpose_has_a_key_of_its_own() -> None:
    keys = ring()
    words = ["", "a", "b", "ab", "a:b", "token", "email"]
    found = [keys.mask_key(*pair) for pair in itertools.product(words, words)]
    found += [keys.proof_key(word) for word in words]
    assert len({*found}) == len(found)
    assert {len(key) for key in found} == {16}


def test_environments_of_one_scope_mask_alike_and_sign_apart() -> None:
    qa, dev = ring(environment="qa"), ring(environment="dev")
    assert qa.mask_key("token", "customer") == dev.mask_key("token", "customer")
    assert qa.proof_key("rows") != dev.proof_key("rows")
    assert qa.public_key != dev.public_key
    assert qa.key_id != dev.key_id


def test_another_scope_or_root_masks_otherwise() -> None:
    found = [
        each.mask_key("token", "customer") for each in (ring(), ring(scope="alone"), ring(bytes(range(32))))
    ]
    assert len({*found}) == 3
    assert len({ring().key_id, ring(scope="alone").key_id, ring(bytes(range(32))).key_id}) == 3


def test_keys_do_not_change_from_one_version_to_the_next() -> None:
    """Masks are kept for years, and joined with those of other databases."""
    assert ring().mask_key("token", "customer").hex() == "1fb4471cac0b6f2312d79c4bbf5e81e1"
    assert ring().key_id == "6d05bbb28bc0f8cc"


def test_the_public_key_is_that_of_the_signer() -> None:
    keys = ring()
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys.public_key))
    public.verify(keys.signer().sign(b"rows"), b"rows")


def test_keys_are_not_printed_and_do_not_leave_their_process() -> None:
    keys = ring()
    assert repr(keys) == "KeyRing(environment='qa', scope='nonproduction')" == str(keys)
    for secret in (ROOT.hex(), repr(ROOT), base64.b64encode(ROOT).decode()):
        assert secret not in f"{keys!r} {keys} {dir(keys)}"
    with pytest.raises(GuardError, match="do not leave their process"):
        pickle.dumps(keys)
    assert keys.environment == "qa"
