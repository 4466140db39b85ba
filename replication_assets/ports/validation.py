"""The ports of validation: digests that were computed before, and lists of what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from replication_assets.core.digests import Digest


@dataclass(frozen=True, slots=True)
class KnownDigest:
    """A digest, and a text that says what exactly it is of: where that is the same, so is the
    digest."""

    of: str
    digest: Digest


class KnownDigests(Protocol):
    """Digests of one table by a name that their user chooses. They may be lost without harm."""

    def read(self) -> Mapping[str, KnownDigest]: ...

    def keep(self, digests: Mapping[str, KnownDigest]) -> None:
        """Add or replace some. Of two that are kept at the same time under one name, either
        stays."""
        ...


class FindingLists(Protocol):
    """Complete lists of findings of one table, each in a file of its own."""

    def write(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> str:
        """Write a list under a name that no other has; returns where it is."""
        ...
