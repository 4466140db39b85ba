"""Statements, and the documents that they become.

AWS limits a managed policy to 6,144 characters, white space apart; what is longer becomes several
documents, each of whole statements. A statement that alone is longer is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from replication_assets.errors import CatalogError

MOST_CHARACTERS = 6_144
VERSION = "2012-10-17"

Conditions: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """Allows `actions` on `resources`, where all `conditions` hold. Nothing here ever denies."""

    purpose: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Conditions = field(default_factory=dict, hash=False)

    @property
    def sid(self) -> str:
        """AWS takes letters and digits alone."""
        return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", self.purpose))

    def as_json(self, sid: str) -> Document:
        told: Document = {
            "Sid": sid,
            "Effect": "Allow",
            "Action": sorted(self.actions),
            "Resource": list(dict.fromkeys(self.resources)),
        }
        if self.conditions:
            told["Condition"] = {
                operator: {key: list(values) for key, values in keys.items()}
                for operator, keys in self.conditions.items()
            }
        return told


def merged(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Statements that differ in their resources alone, as one."""
    found: dict[str, Statement] = {}
    for each in statements:
        key = json.dumps([each.purpose, sorted(each.actions), each.conditions], sort_keys=True)
        known = found.get(key)
        resources = (*known.resources, *each.resources) if known else each.resources
        found[key] = Statement(each.purpose, each.actions, tuple(dict.fromkeys(resources)), each.conditions)
    return tuple(found.values())


def documents(statements: Iterable[Statement]) -> list[Document]:
    """As few documents as AWS's limit allows, without changing the order.

    Raises:
        CatalogError: one statement is longer than a document may be.
    """
    parts: list[list[Document]] = [[]]
    for each in _numbered(merged(statements)):
        if _length([each]) > MOST_CHARACTERS:
            problem = (
                f"{each['Sid']} names {len(each['Resource'])} resources, more than one policy takes. Fix: "
                "divide the catalog, or names with a common beginning and a policy of your own"
            )
            raise CatalogError([problem], where="iam")
        if parts[-1] and _length([*parts[-1], each]) > MOST_CHARACTERS:
            parts.append([])
        parts[-1].append(each)
    return [document(part) for part in parts if part]


def document(statements: Sequence[Document]) -> Document:
    return {"Version": VERSION, "Statement": list(statements)}


def _length(statements: Sequence[Document]) -> int:
    return len(json.dumps(document(statements), separators=(",", ":")))


def _numbered(statements: Sequence[Statement]) -> Iterable[Document]:
    """A Sid must be unique within its document."""
    seen: dict[str, int] = {}
    for each in statements:
        seen[each.sid] = number = seen.get(each.sid, 0) + 1
        yield each.as_json(each.sid if number == 1 else f"{each.sid}{number}")
