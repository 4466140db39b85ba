"""What all declarations have in common.

Constructing a declaration is cheap, does no I/O and refuses nothing: `Catalog.validate`
lists every problem of all of them together. The one thing that happens at once is that a
credential given as literal text is dropped and replaced by `LiteralSecret`, so that no
repr, traceback or log of even a refused declaration can show it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD", re.IGNORECASE)
SECRET_FIELDS = frozenset({"password", "access_key_id", "secret_access_key", "mask_key"})
_SECRET_TEXT = re.compile(r"://[^/@\s]*:[^/@\s]+@|\bpassword\s*=", re.IGNORECASE)
"""A URL with a password in it, or a connection string."""


@dataclass(frozen=True, slots=True)
class LiteralSecret:
    """Stands where a credential was given as text; the text itself is gone."""


class Declaration:
    """Base of declarations: lists become tuples, literal credentials are dropped."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            safe = _safe(getattr(self, each.name), secret=each.name in SECRET_FIELDS)
            object.__setattr__(self, each.name, safe)


def _safe(value: object, *, secret: bool = False) -> object:
    if isinstance(value, str | bytes) and (secret or _SECRET_TEXT.search(str(value))):
        return LiteralSecret()
    if isinstance(value, list | tuple):
        return tuple(_safe(part) for part in value)
    if isinstance(value, Mapping):
        return {
            name: _safe(part, secret=bool(_SECRET_NAME.search(str(name)))) for name, part in value.items()
        }
    return value
