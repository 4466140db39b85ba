"""How a user declares a masking policy: every column of every copied table, with class and rule.

Nothing is copied that is not named here. A column is named together with what it was when
somebody reviewed it (`reviewed`, as `describe_column` tells it): if the source's column is not that
any more, no refresh starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, is_dataclass

from replication_assets.core.declared import Declared
from replication_assets.core.masking.rules import Keep, Normalise, Rule

PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Namespace(Declared):
    """An identity domain: `normalise` makes spellings of one identity equal before they are masked
    (text rules only); `low` to `high`, both included, are the integers of `IntegerId`."""

    name: str
    _: KW_ONLY
    normalise: Sequence[Normalise] = ("nfc", "trim", "casefold")
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class ColumnPolicy:
    """What a column holds, and what becomes of it.

    `mask` is the rule. `data_class` is `public`, `internal`, `pii.*`, `secret.*` or a word of your own;
    `secret.*` takes `Null` and `Constant` only. `reviewed` is the column as it was reviewed: `text not null`.
    `approved_by` and `approved_on` are kept in the audit.
    """

    data_class: str
    mask: Rule = Keep()
    _: KW_ONLY
    reviewed: str = ""
    approved_by: str = ""
    approved_on: str = ""


@dataclass(frozen=True, slots=True)
class TablePolicy(Declared):
    """The columns of one source table, named as in `Table`. `row_key` is what `by="row"` draws from,
    by default the table's key. Rows are alike to whoever knows the `quasi_identifiers` of somebody;
    how many at least is reported, and a copy with fewer than `k_min` is not published."""

    table: str
    _: KW_ONLY
    columns: Mapping[str, ColumnPolicy] = field(default_factory=dict, hash=False)
    row_key: Sequence[str] = ()
    k_min: int | None = None
    quasi_identifiers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MaskingPolicy(Declared):
    """A policy by name and `version`, with its `namespaces`. Its `fingerprint` stands in every
    certificate and audit line."""

    name: str
    _: KW_ONLY
    version: str = "1"
    namespaces: Sequence[Namespace] = ()
    tables: Sequence[TablePolicy] = ()

    @property
    def fingerprint(self) -> str:
        """BLAKE2b of the whole policy, 32 hex digits. Any change of it is another policy."""
        text = json.dumps(_plain(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def table(self, table: str) -> TablePolicy | None:
        return {each.table: each for each in self.tables}.get(table)

    def namespace(self, name: str) -> Namespace:
        """As declared, or one of that name with the defaults."""
        return {each.name: each for each in self.namespaces}.get(name) or Namespace(name)


def _plain(value: object) -> object:
    """JSON of declarations, each with the name of its class: rules with equal fields differ."""
    if is_dataclass(value) and not isinstance(value, type):
        names = asdict(value)
        return {"": type(value).__name__, **{name: _plain(getattr(value, name)) for name in names}}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value
