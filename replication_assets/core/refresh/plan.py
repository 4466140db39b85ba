"""What a refresh does, decided before the first row is read. Holds names, positions, sizes and
fingerprints only, so it may cross ops, be stored and be shown."""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Literal, TypeAlias

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId

How: TypeAlias = Literal["full", "changes"]


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """One table of a refresh, in its place of the load order.

    `as_of` is the position of the fold: the same for all tables of a source. For `changes` it is
    the position to go to, and `since` the one that the copy is at. `ranges` are its id ranges: each
    is masked, sealed and loaded in chunks named `<range>.<number>`. `rows` is what the size plan
    expects.
    """

    table: TableId
    as_of: Position
    ranges: tuple[str, ...]
    structure: str
    _: KW_ONLY
    since: Position | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class RefreshPlan:
    """One refresh. `id` is unique; a run that resumes a failed one keeps it, and its positions.
    `declared` is the fingerprint of all that it follows from: a run of another declaration begins anew.
    `sizes` says for people how many rows of each table come along, and why."""

    id: str
    refresh: str
    environment: str
    policy: str
    key_id: str
    how: How
    tables: tuple[CopiedTable, ...]
    _: KW_ONLY
    not_carried: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    declared: str = ""
    sizes: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, default=str)

    @classmethod
    def from_json(cls, text: str) -> RefreshPlan:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(text)
        tables = tuple(
            CopiedTable(
                TableId(**each["table"]),
                Position(**each["as_of"]),
                tuple(each["ranges"]),
                each["structure"],
                since=Position(**each["since"]) if each["since"] else None,
                rows=each["rows"],
            )
            for each in found.pop("tables")
        )
        for name in ("not_carried", "warnings"):
            found[name] = tuple(found[name])
        return cls(**{**found, "tables": tables})
