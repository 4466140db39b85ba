"""What is known of a setting: its values, its default, and what becomes of it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Value: TypeAlias = bool | int | str | None
Verdict: TypeAlias = Literal["honoured", "safer", "not-applicable"]
"""`honoured`: it does here what it does in DMS. `safer`: DMS would lose or leak data, and here it does
not. `not-applicable`: it tunes or guards something that does not exist here."""


@dataclass(frozen=True, slots=True)
class Setting:
    """`words` are the values of one that is a word. `here` says what is done, or why nothing is."""

    default: Value
    verdict: Verdict
    here: str
    words: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    free: bool = False

    @property
    def kind(self) -> str:
        if self.words:
            return "word"
        if isinstance(self.default, bool):
            return "boolean"
        return "integer" if isinstance(self.default, int) else "text"


Section: TypeAlias = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Free:
    """A section that is read, and whose members are lists or objects of their own."""

    verdict: Verdict
    here: str
    members: tuple[str, ...] = field(default=())


def honoured(default: Value, here: str, *words: str, least: int = 0, most: int | None = None) -> Setting:
    return Setting(default, "honoured", here, words, least, most)


def safer(default: Value, here: str, *words: str, least: int = 0, most: int | None = None) -> Setting:
    return Setting(default, "safer", here, words, least, most)


def moot(default: Value, here: str, *words: str, least: int = 0, most: int | None = None) -> Setting:
    return Setting(default, "not-applicable", here, words, least, most)
