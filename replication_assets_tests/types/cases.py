"""One case: a type of an engine as a table declares it, what the store holds it as, values to write.

The cases of all engines are what the tests of this folder are driven by, and what docs/types.md is made of.
NULL need not be listed: every column has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pyarrow as pa

Engine: TypeAlias = Literal["postgresql", "mariadb", "sqlite"]


@dataclass(frozen=True, slots=True)
class Case:
    """`values` are SQL expressions: least, greatest, empty and odd ones. `of` names the types of the engine's
    own list that the case stands for, where that is not the declared word itself."""

    declared: str
    stored: pa.DataType
    values: tuple[str, ...] = ()
    of: tuple[str, ...] = field(default=())

    @property
    def types(self) -> tuple[str, ...]:
        return self.of or (self.declared.partition("(")[0].lower(),)


def case(declared: str, stored: pa.DataType, *values: str, of: str = "") -> Case:
    return Case(declared, stored, values, tuple(of.split()))


def columns(cases: tuple[Case, ...]) -> Mapping[str, Case]:
    """The columns of the one wide table."""
    return {f"c{number}": each for number, each in enumerate(cases)}
