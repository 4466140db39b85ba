"""Keys of the masks: one root secret per environment, and a key of its own for each purpose.

Every key is derived (HKDF-Expand, RFC 5869, SHA-256) from the root over length-prefixed words, so
that no two purposes share one. Masks are derived over the scope, which environments may share on
purpose; the signing key and the key id over the environment, which they never do. The root is
read by reference, and stays in the trust zone of production: whoever has it can try inputs.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from replication_assets.errors import GuardError

LEAST_BYTES = 32
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


class KeyRing:
    """All keys of one environment, from its root secret. Neither prints nor pickles."""

    __slots__ = ("__root", "_environment", "_scope")

    def __init__(self, root: bytes, *, environment: str, scope: str) -> None:
        self.__root = _checked(root, environment)
        self._environment = environment
        self._scope = scope

    @classmethod
    def from_text(cls, text: str, *, environment: str, scope: str) -> KeyRing:
        """From hex or base64 of at least 32 random bytes, as `openssl rand -hex 32` prints them.

        Raises:
            GuardError: it is neither, too short, or plainly not random.
        """
        return cls(_decoded(text.strip(), environment), environment=environment, scope=scope)

    def __repr__(self) -> str:
        return f"KeyRing(environment={self._environment!r}, scope={self._scope!r})"

    def __reduce__(self) -> NoReturn:
        raise GuardError("the keys of the masks do not leave their process", fix="pass the reference")

    @property
    def environment(self) -> str:
        return self._environment

    @property
    def key_id(self) -> str:
        """Names the root, the environment and the scope without telling the root: 16 hex digits."""
        return self._derive("key id", self._environment, self._scope, length=8).hex()

    def mask_key(self, purpose: str, namespace: str) -> bytes:
        """16 bytes (AES-128) for one family of rules in one namespace."""
        return self._derive("mask", self._scope, purpose, namespace, length=16)

    def proof_key(self, purpose: str) -> bytes:
        """16 bytes for digests and fingerprints of a verification."""
        return self._derive("proof", self._environment, purpose, length=16)

    def signer(self) -> Ed25519PrivateKey:
        """What only the guard has; the target holds the public half."""
        return Ed25519PrivateKey.from_private_bytes(self._derive("seal", self._environment, length=32))

    @property
    def public_key(self) -> str:
        """The public half of `signer`, base64: what the environment's own marker holds."""
        raw = self.signer().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    def _derive(self, *words: str, length: int) -> bytes:
        info = b"".join(len(word.encode()).to_bytes(4, "big") + word.encode() for word in words)
        return HKDFExpand(SHA256(), length, b"replication_assets masks 1" + info).derive(self.__root)


def _decoded(text: str, environment: str) -> bytes:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise GuardError(
            "the mask key is neither hex nor base64",
            where=f"environment {environment}",
            fix="make one with `openssl rand -hex 32`, and keep it where its reference points",
        ) from None


def _checked(root: bytes, environment: str) -> bytes:
    problem = None
    if len(root) < LEAST_BYTES:
        problem = f"the mask key has {len(root)} bytes, fewer than {LEAST_BYTES}"
    elif len(set(root)) < LEAST_BYTES // 4:
        problem = "the mask key repeats a few bytes: it is not random"
    if problem is not None:
        raise GuardError(
            problem,
            where=f"environment {environment}",
            fix="make one with `openssl rand -hex 32`, and keep it where its reference points",
        )
    return root
