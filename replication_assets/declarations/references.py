"""Every credential that a catalog refers to, with its place in the catalog.

Found by walking all that is declared, so that a declaration of a new kind cannot hold a reference
that `secrets check` does not know, or that a policy does not allow to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from replication_assets.secret_references import EnvVar, SecretReference, SecretsManager, SsmParameter

_SINGULAR = {
    "sources": "source",
    "projections": "projection",
    "environments": "environment",
    "policies": "policy",
    "refreshes": "refresh",
    "cutovers": "cutover",
    "tables": "table",
}


@dataclass(frozen=True, slots=True)
class DeclaredReference:
    """A reference, and where it stands: `source shop: password`."""

    where: str
    reference: SecretReference


def declared_references(catalog: object) -> tuple[DeclaredReference, ...]:
    """All of them, in the order in which they are declared."""
    return tuple(_in_fields(catalog, ()))


def _in_fields(declared: object, path: tuple[str, ...]) -> Iterator[DeclaredReference]:
    for field in fields(declared):  # type: ignore[arg-type]
        yield from _below(getattr(declared, field.name), (*path, field.name))


def _below(value: object, path: tuple[str, ...]) -> Iterator[DeclaredReference]:
    if isinstance(value, EnvVar | SecretsManager | SsmParameter):
        yield DeclaredReference(_place(path), value)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _below(each, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value, 1):
            yield from _below(each, (*path, str(getattr(each, "name", number))))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _in_fields(value, path)


def _place(path: tuple[str, ...]) -> str:
    first, *rest = path
    if first in _SINGULAR and len(rest) > 1:
        return f"{_SINGULAR[first]} {rest[0]}: {' '.join(rest[1:])}"
    return f"{first.replace('_', ' ')}: {' '.join(rest)}"
