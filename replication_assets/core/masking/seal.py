"""The seal: what a masked batch needs so that a nonproduction target takes it.

The guard signs (Ed25519) a certificate that binds the batch's bytes to environment, refresh, table,
chunk, policy, structure and key. The target checks it with the public key that its own marker
holds, over the very bytes that it loads; it cannot make one. A batch for another environment, of an
earlier refresh, of another policy or structure, or with one byte changed is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal, TypeAlias

import pyarrow as pa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from replication_assets.core.masking.batches import MaskedBatch
from replication_assets.core.masking.keys import KeyRing
from replication_assets.errors import GuardError

Role: TypeAlias = Literal["rows", "upserts", "deletes", "generated"]
"""What the rows are: of a full copy, changes of one, or made for a test team."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a batch is for. `structure` and `policy` are fingerprints; `chunk` names the batch within
    its table and refresh."""

    environment: str
    refresh: str
    table: str
    chunk: str
    role: Role
    policy: str
    structure: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """Signed claims of one batch. `digest` is BLAKE2b of the payload; `checksum` the keyed sum over
    its rows (`core.refresh.row_checksums`) that the target is held against after loading; `counts` are
    figures per rule for the audit."""

    claims: Claims
    rows: int
    digest: str
    checksum: int
    signature: str
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Raises GuardError for what is no certificate."""
        try:
            found = json.loads(text)
            return cls(**{**found, "claims": Claims(**found["claims"])})
        except (ValueError, KeyError, TypeError):
            raise GuardError(
                "it is no certificate", fix="mask the chunk again: start the refresh anew"
            ) from None


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """Masked rows as bytes (an Arrow IPC stream) with their certificate. The only form in which rows
    go on to a nonproduction target; may be stored and sent."""

    payload: bytes
    certificate: Certificate

    def __repr__(self) -> str:
        return f"SealedBatch({self.certificate.claims.table} {self.certificate.claims.chunk})"


def seal(
    masked: MaskedBatch, claims: Claims, keys: KeyRing, *, checksum: int, counts: Mapping[str, int]
) -> SealedBatch:
    """Certify a masked batch. `checksum` is that of its rows.

    Raises:
        GuardError: the rows are not masked ones, or the keys are not the environment's.
    """
    if type(masked) is not MaskedBatch:
        raise GuardError(
            f"a {type(masked).__name__} cannot be sealed", where=claims.table, fix="mask the rows first"
        )
    if keys.environment != claims.environment or keys.key_id != claims.key_id:
        raise GuardError("the keys are of another environment", where=claims.table, fix="use its own key")
    batch = masked.reveal()
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    payload = sink.getvalue()
    bare = Certificate(claims, batch.num_rows, _digest(payload), checksum, "", dict(counts))
    signature = base64.b64encode(keys.signer().sign(_signed_text(bare))).decode()
    return SealedBatch(payload, Certificate(claims, bare.rows, bare.digest, checksum, signature, bare.counts))


def open_sealed(sealed: SealedBatch, public_key: str, expected: Claims) -> pa.RecordBatch:
    """The rows, if all of it is as it was sealed and is what is expected here. `expected.chunk` and
    `expected.role` are taken from the batch: which chunks are due is the loader's to know.

    Raises:
        GuardError: with what differs.
    """
    certificate = sealed.certificate
    where = f"{certificate.claims.table} {certificate.claims.chunk}"
    fix = "nothing was loaded; find out who made the batch, and start the refresh anew"
    _require_signature(certificate, public_key, where)
    for each in fields(Claims):
        if each.name in ("chunk", "role"):
            continue
        if getattr(certificate.claims, each.name) != getattr(expected, each.name):
            claimed, due = getattr(certificate.claims, each.name), getattr(expected, each.name)
            what = f"the certificate is for {each.name} {claimed!r}, not {due!r}"
            raise GuardError(what, where=where, fix=fix)
    if _digest(sealed.payload) != certificate.digest:
        raise GuardError("its rows were changed after masking", where=where, fix=fix)
    table = pa.ipc.open_stream(sealed.payload).read_all().combine_chunks()
    batches = table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    if len(batches) != 1 or batches[0].num_rows != certificate.rows:
        raise GuardError("its rows are not as many as certified", where=where, fix=fix)
    return batches[0]


def _require_signature(certificate: Certificate, public_key: str, where: str) -> None:
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(certificate.signature, validate=True), _signed_text(certificate))
    except (InvalidSignature, binascii.Error, ValueError, TypeError):
        raise GuardError(
            "its certificate was not made by this environment's guard",
            where=where,
            fix="nothing was loaded; check that the mask key is the one that the environment was set up with",
        ) from None


def _signed_text(certificate: Certificate) -> bytes:
    bare = Certificate(
        certificate.claims, certificate.rows, certificate.digest, certificate.checksum, "", certificate.counts
    )
    return b"replication_assets certificate 1\n" + bare.to_json().encode()


def _digest(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=32).hexdigest()
