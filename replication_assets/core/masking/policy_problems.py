"""Everything that is wrong between a policy and the tables of a refresh, before the first row is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from replication_assets.core.masking.compile import compile_table
from replication_assets.core.masking.key_checks import reference_problems
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.core.schema import TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.errors import PolicyError

_NO_KEYS: Mapping[str, str] = {}


def policy_problems(
    policy: MaskingPolicy,
    tables: Sequence[tuple[TableStructure, TableSchema]],
    allow: Collection[str],
    keys: KeyRing,
    *,
    virtual_keys: Mapping[str, str] = _NO_KEYS,
    changes: bool = False,
) -> tuple[str, ...]:
    """Every problem of every table, each with its place and its fix; empty if rows may be read.
    `virtual_keys` are those of a `Subset`, held to what foreign keys are held to. With `changes`, the
    refresh goes on with what changes, and has to find deleted rows by their masked keys."""
    found: list[str] = []
    for structure, schema in tables:
        try:
            mask = compile_table(policy, structure, schema, allow=allow, keys=keys)
            found += mask.key_problems() if changes else ()
        except PolicyError as error:
            found += error.problems
    found += reference_problems(policy, [structure for structure, _ in tables], virtual_keys)
    return tuple(found)
