"""What declarations of the core have in common: they are values."""

from __future__ import annotations

from dataclasses import fields


class Declared:
    """Base of frozen dataclasses: lists become tuples, so that a declaration can be compared, hashed
    and never changes."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if isinstance(value, list):
                object.__setattr__(self, each.name, tuple(value))
