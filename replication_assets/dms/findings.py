"""What is said of a DMS file: where, how bad, what, and how to put it right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
"""`error`: DMS or we refuse it. `warning`: it runs, and loses, leaks or surprises. `note`: good to know."""

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A character of a file, both counted from 1. The file is a name to show, not opened."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. `code` is a stable word; `rule` the rule-id it is about, if any."""

    severity: Severity
    code: str
    what: str
    fix: str
    place: Place
    rule: str | None = None

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "!", "?")) else "."
        return f"{self.place}: {self.what}{stop}" + (f" Fix: {self.fix}" if self.fix else "")


class Findings:
    """Collects findings while files are read."""

    def __init__(self) -> None:
        self._found: list[Finding] = []

    def error(self, code: str, what: str, fix: str, place: Place, rule: str | None = None) -> None:
        self._found.append(Finding("error", code, what, fix, place, rule))

    def warn(self, code: str, what: str, fix: str, place: Place, rule: str | None = None) -> None:
        self._found.append(Finding("warning", code, what, fix, place, rule))

    def note(self, code: str, what: str, fix: str, place: Place, rule: str | None = None) -> None:
        self._found.append(Finding("note", code, what, fix, place, rule))

    def extend(self, findings: Iterable[Finding]) -> None:
        self._found.extend(findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def listed(self) -> tuple[Finding, ...]:
        """In the order of the files; each once."""
        unique = dict.fromkeys(self._found)
        return tuple(sorted(unique, key=lambda each: (each.place, _ORDER[each.severity])))


def errors(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(each for each in findings if each.severity == "error")
