"""Templates: literal text and `${column}`, `$${` for a literal `${`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")


@dataclass(frozen=True, slots=True)
class ColumnRef:
    """The canonical text of a column."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and columns, in order; neighbouring texts are one."""

    parts: tuple[str | ColumnRef, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Raises ValueError with what is wrong, for a `${` that is not closed or names nothing."""
        parts: list[str | ColumnRef] = []
        literal, at = "", 0
        for token in _TOKEN.finditer(text):
            literal += text[at : token.start()]
            at = token.end()
            if token.group() == "$${":
                literal += "${"
                continue
            if not token.group(1):
                raise ValueError("has a ${ without a column's name and a }")
            parts += [literal] if literal else []
            parts.append(ColumnRef(token.group(1)))
            literal = ""
        literal += text[at:]
        parts += [literal] if literal else []
        return cls(tuple(parts))

    @classmethod
    def of(cls, column: str) -> Template:
        """Nothing but a column, whatever its name."""
        return cls((ColumnRef(column),))

    @property
    def columns(self) -> tuple[str, ...]:
        """Each column once, in order of appearance."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, ColumnRef)))

    @property
    def single_column(self) -> str | None:
        """The column, if the template is nothing but that."""
        if len(self.parts) == 1 and isinstance(self.parts[0], ColumnRef):
            return self.parts[0].name
        return None

    def repeated_prefix(self) -> str | None:
        """A leading word and separator that stands there twice, as in `agg#agg#${id}`."""
        first = self.parts[0] if self.parts else ""
        if not isinstance(first, str):
            return None
        found = re.match(r"(\w+[^\w\s])\1", first)
        return found.group(1) if found else None

    def touching_columns(self) -> bool:
        """Whether two columns stand side by side, so that 1 and 23 reads as 12 and 3 does."""
        return any(
            isinstance(left, ColumnRef) and isinstance(right, ColumnRef)
            for left, right in zip(self.parts, self.parts[1:], strict=False)
        )
