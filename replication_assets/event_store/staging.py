"""Sealed batches of one refresh between its mask and its load, as files of the store.

Nothing but sealed batches and the plan is written here: not rows, not tables, not bytes. A batch
is one file, its certificate and its payload together, so that both are there or neither:

    8 bytes `RASEAL1\\n` · 4 bytes length of the certificate · 8 bytes length of the payload (both
    big-endian) · 32 bytes BLAKE2b of the certificate · the certificate as JSON · the payload

The payload's own digest stands in the certificate. A file that is torn, cut or another's is told
by its name. Whether a seal is the guard's is not decided here: the target has the key for that.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping

from replication_assets.core.masking.seal import Certificate, SealedBatch
from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.errors import GuardError
from replication_assets.event_store.storage import Place, folder_name
from replication_assets.event_store.whole_files import WholeFiles

_PLAN = "plan.json"
_COMPLETE = "complete.json"
_SEALED = ".sealed"
_HEAD = struct.Struct(">8sIQ32s")
_MAGIC = b"RASEAL1\n"
_USUAL_CERTIFICATE = 16 << 10
"""Bytes that are read to have a certificate with one request; a longer one needs a second."""

Range = tuple[str, str, str]
"""Table, role, id range."""


class StagedBatches:
    """See `ports.refresh.Staging`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._files = WholeFiles(place)

    def __repr__(self) -> str:
        return f"StagedBatches({self._place.uri!r})"

    def plan(self) -> str | None:
        content = self._files.read(_PLAN)
        if content is None:
            return None
        try:
            return RefreshPlan.from_json(content.decode()).to_json()
        except (ValueError, KeyError, TypeError):
            # Of another release, or no plan: nothing can go on with it.
            return None

    def begin(self, plan: str) -> None:
        """Raises GuardError for what is no plan."""
        try:
            content = RefreshPlan.from_json(plan).to_json()
        except (ValueError, KeyError, TypeError):
            raise GuardError(
                "it is no plan of a refresh, and nothing else may be staged",
                where=self._place.where,
                fix="give the JSON of a RefreshPlan",
            ) from None
        self.clear()
        self._files.write(_PLAN, content.encode())

    def put(self, sealed: SealedBatch) -> None:
        """Raises GuardError for anything but a sealed batch."""
        self._require_sealed(sealed)
        certificate = sealed.certificate
        _require_payload(certificate, sealed.payload, self._where(certificate))
        told = certificate.to_json().encode()
        check = hashlib.blake2b(told, digest_size=32).digest()
        head = _HEAD.pack(_MAGIC, len(told), len(sealed.payload), check)
        self._files.write(self._path(certificate), head + told + sealed.payload)

    def restart(self, table: str, role: str, id_range: str) -> None:
        folder = _folder((table, role, id_range))
        self._files.delete(f"{folder}/{_COMPLETE}")
        self._files.delete_folder(folder)

    def complete(self, table: str, role: str, id_range: str, chunks: int) -> None:
        """Raises GuardError if one of the chunks is not there."""
        staged = self._files.sizes(_folder((table, role, id_range)))
        for number in range(chunks):
            path = _chunk_path((table, role, id_range), number)
            if path not in staged:
                raise self._missing(path)
        note = {"table": table, "role": role, "id_range": id_range, "chunks": chunks}
        folder = _folder((table, role, id_range))
        self._files.write(f"{folder}/{_COMPLETE}", json.dumps(note).encode())

    def completed(self) -> Mapping[Range, int]:
        """A note that is unreadable, or lies where another belongs, counts for nothing: that range
        is masked again."""
        if self.plan() is None:
            return {}
        return self._completed(self._files.sizes())

    def certificates(self) -> tuple[Certificate, ...]:
        if self.plan() is None:
            return ()
        sizes = self._files.sizes()
        return tuple(
            self._certificate(each, number, sizes)
            for each, chunks in sorted(self._completed(sizes).items())
            for number in range(chunks)
        )

    def get(self, certificate: Certificate) -> SealedBatch:
        path = self._path(certificate)
        content = self._files.read(path)
        if content is None:
            raise self._missing(path)
        found, start = self._head(path, content, len(content))
        if found != certificate:
            raise self._unreadable(path, "holds another batch than was asked for")
        payload = content[start:]
        _require_payload(certificate, payload, f"{self._where(certificate)}, file {path}")
        return SealedBatch(payload, certificate)

    def clear(self) -> None:
        # Without a plan, what a kill leaves behind counts for nothing.
        self._files.delete(_PLAN)
        self._files.delete_folder()

    def _completed(self, sizes: Mapping[str, int]) -> dict[Range, int]:
        found = {}
        for path in sizes:
            if path.endswith(f"/{_COMPLETE}"):
                note = _note(self._files.read(path))
                if note is not None and path == f"{_folder(note[0])}/{_COMPLETE}":
                    found[note[0]] = note[1]
        return found

    def _certificate(self, each: Range, number: int, sizes: Mapping[str, int]) -> Certificate:
        path = _chunk_path(each, number)
        begin = self._files.read(path, _USUAL_CERTIFICATE) if path in sizes else None
        if begin is None:
            raise self._missing(path)
        if len(begin) >= _HEAD.size:
            needed = _HEAD.size + _HEAD.unpack_from(begin)[1]
            if len(begin) < needed <= sizes[path]:
                begin = self._files.read(path, needed) or b""
        certificate, _ = self._head(path, begin, sizes[path])
        if self._path(certificate) != path:
            raise self._unreadable(path, "holds a batch that belongs elsewhere")
        return certificate

    def _head(self, path: str, content: bytes, size: int) -> tuple[Certificate, int]:
        """The certificate at the beginning of a file of so many bytes, and where the payload begins."""
        if len(content) < _HEAD.size:
            raise self._unreadable(path, "is cut off")
        magic, told, payload, check = _HEAD.unpack_from(content)
        start = _HEAD.size + told
        if magic != _MAGIC:
            raise self._unreadable(path, "is no sealed batch")
        if size != start + payload or len(content) < start:
            raise self._unreadable(path, f"has {size} bytes where {start + payload} were written")
        text = content[_HEAD.size : start]
        if hashlib.blake2b(text, digest_size=32).digest() != check:
            raise self._unreadable(path, "has a certificate that was changed")
        return Certificate.from_json(text.decode()), start

    def _path(self, certificate: Certificate) -> str:
        claims = certificate.claims
        id_range, _, number = claims.chunk.rpartition(".")
        if not id_range or not number.isdecimal() or str(int(number)) != number:
            raise GuardError(
                f"chunk {claims.chunk!r} is not called <range>.<number>",
                where=self._where(certificate),
                fix="number the chunks of a range from 0",
            )
        return _chunk_path((claims.table, claims.role, id_range), int(number))

    def _where(self, certificate: Certificate) -> str:
        return f"{self._place.where}, {certificate.claims.table} {certificate.claims.chunk}"

    def _require_sealed(self, sealed: object) -> None:
        if (
            type(sealed) is not SealedBatch
            or type(sealed.payload) is not bytes
            or type(sealed.certificate) is not Certificate
        ):
            raise GuardError(
                f"a {type(sealed).__name__} is no sealed batch, and nothing else may be staged",
                where=self._place.where,
                fix="mask the rows and seal them",
            )

    def _missing(self, path: str) -> GuardError:
        return self._unreadable(path, "is missing")

    def _unreadable(self, path: str, what: str) -> GuardError:
        return GuardError(
            f"file {path} {what}", where=self._place.where, fix="nothing was loaded; start the refresh anew"
        )


def _require_payload(certificate: Certificate, payload: bytes, where: str) -> None:
    if hashlib.blake2b(payload, digest_size=32).hexdigest() != certificate.digest:
        raise GuardError(
            "its rows are not those that were sealed",
            where=where,
            fix="nothing was loaded; find out who made the batch, and start the refresh anew",
        )


def _folder(each: Range) -> str:
    return "/".join(folder_name(part) for part in each)


def _chunk_path(each: Range, number: int) -> str:
    return f"{_folder(each)}/{number}{_SEALED}"


def _note(content: bytes | None) -> tuple[Range, int] | None:
    try:
        found = json.loads(content or b"")
        each, chunks = (found["table"], found["role"], found["id_range"]), found["chunks"]
    except (ValueError, KeyError, TypeError):
        return None
    told = all(isinstance(part, str) for part in each) and type(chunks) is int and chunks >= 0
    return (each, chunks) if told else None
