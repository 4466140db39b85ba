"""Columns of a table as an object mapping names them: in templates, keys and lists of what is left out.

Names are the source's; one that a transformation gave is taken too. `exclude-columns` in another
spelling than the columns never let a column through: they are matched in any case where that is one
column, and refused otherwise.
"""

from __future__ import annotations

import re

from replication_assets.core.items.templates import Template
from replication_assets.dms.findings import Findings, Place
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.rules import ObjectMapping

_COLUMN = re.compile(r"\$\{([^}]*)\}")


class MappedColumns:
    """Columns of one table as its object mapping may name them; `names` is None where they are not known."""

    def __init__(self, outcome: TableOutcome, rule: ObjectMapping, findings: Findings) -> None:
        self.outcome, self.rule, self.findings = outcome, rule, findings
        source = outcome.source
        added = [each.target for each in outcome.columns if each.source is None]
        self.names = None
        if source.columns is not None:
            self.names = (*(column.name for column in source.columns), *added)
        self._given = {c.target: c.source for c in outcome.columns if c.source is not None and not c.before}

    def error(self, code: str, what: str, fix: str, place: Place | None = None) -> None:
        self.findings.error(code, what, fix, place or self.rule.place, self.rule.id)

    def column(self, given: str, what: str, place: Place) -> str | None:
        """The column that is meant, as the source calls it; None where there is none, which is told."""
        if self.names is None or given in self.names:
            return given
        if given in self._given:
            return self._given[given]
        alike = [name for name in self.names if name.lower() == given.lower()]
        if len(alike) == 1:
            told = f"{what} {given!r} is spelled {alike[0]!r} in {self.outcome.source}; it is taken for that"
            self.findings.note("spelled-otherwise", told, f"write {alike[0]!r}", place, self.rule.id)
            return alike[0]
        fix = f"one of {', '.join(self.names[:8])}"
        self.error("unknown-column", f"{what} {given!r} is no column of {self.outcome.source}", fix, place)
        return None

    def template(self, text: str, place: Place) -> str | None:
        """The template with columns as the source spells them."""
        if "$${" in text:
            self.error("dollar", "a $ before ${...} cannot be declared", "put another sign between", place)
            return None
        ok = True

        def spelled(found: re.Match[str]) -> str:
            nonlocal ok
            # A line break inside of the braces is one of the documentation's own samples.
            name = self.column(found.group(1).strip(), "column", place)
            ok = ok and name is not None
            return f"${{{name}}}"

        result = _COLUMN.sub(spelled, text)
        try:
            Template.parse(result)
        except ValueError as error:
            self.error("bad-template", f"the template {error}", "write ${column}", place)
            return None
        return result if ok else None

    def excluded(self) -> tuple[str, ...] | None:
        """Columns that the rule leaves out; None where it names one that is not there, which is told."""
        found = [self.column(name, "exclude-columns", self.rule.place) for name in self.rule.exclude_columns]
        return None if None in found else tuple(name for name in found if name is not None)
