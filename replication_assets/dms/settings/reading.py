"""Task settings read from JSON: each setting with its value, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from replication_assets.dms.findings import Finding, Findings, Place
from replication_assets.dms.json_source import Member, Object, Scalar, parse_json
from replication_assets.dms.members import as_boolean
from replication_assets.dms.settings.components import tell_components
from replication_assets.dms.settings.known import Setting, Value, Verdict
from replication_assets.dms.settings.sections import FREE, MOVED, SECTIONS, sections_of


@dataclass(frozen=True, slots=True)
class Given:
    """A setting of the file. `here` says what is done, or why nothing is."""

    section: str
    name: str
    value: Value
    default: Value
    verdict: Verdict
    here: str
    place: Place

    @property
    def changed(self) -> bool:
        return self.value != self.default


@dataclass(frozen=True, slots=True)
class TaskSettings:
    file: str
    given: tuple[Given, ...]
    findings: tuple[Finding, ...]

    def value(self, section: str, name: str) -> Value:
        """As given, or DMS's default."""
        for each in self.given:
            if (each.section, each.name) == (section, name):
                return each.value
        return SECTIONS[section][name].default

    def place(self, section: str, name: str) -> Place:
        for each in self.given:
            if (each.section, each.name) == (section, name):
                return each.place
        return Place(self.file, 1, 1)

    def is_given(self, section: str, name: str) -> bool:
        return any((each.section, each.name) == (section, name) for each in self.given)


def read_settings(text: str, file: str) -> TaskSettings:
    """Never raises for what the text holds."""
    findings = Findings()
    node = parse_json(text, file, findings)
    given: list[Given] = []
    if isinstance(node, Object):
        for member in node.members:
            given.extend(_section(member, findings))
    elif node is not None:
        findings.error("wrong-type", "task settings are an object of sections", "write {...}", node.place)
    return TaskSettings(file, tuple(given), findings.listed())


def _section(member: Member, findings: Findings) -> list[Given]:
    name = next((each for each in (*SECTIONS, *FREE) if each.lower() == member.name.lower()), None)
    if name is None:
        _unknown_section(member, findings)
        return []
    if name != member.name:
        findings.note(
            "spelled-otherwise",
            f"section {member.name!r} is not spelled as DMS spells it",
            f"write {name!r}",
            member.place,
        )
    if isinstance(member.value, Scalar) and member.value.value is None:
        return []
    if name in FREE:
        return _free(name, member, findings)
    if not isinstance(member.value, Object):
        findings.error("wrong-type", f"{name} is not an object", "write {...}", member.value.place)
        return []
    found = [_setting(name, each, findings) for each in _flat(name, member.value)]
    return [each for each in found if each is not None]


def _flat(section: str, given: Object) -> Iterator[Member]:
    """Members of a section; those of an object within it, which one section has, after its name."""
    for member in given.members:
        groups = {name.split(".")[0] for name in SECTIONS[section] if "." in name}
        group = next((each for each in groups if each.lower() == member.name.lower()), None)
        if group is None:
            yield member
        elif isinstance(member.value, Object):
            for inner in member.value.members:
                yield replace(inner, name=f"{group}.{inner.name}")
        elif not _is_null(member):
            yield member


def _unknown_section(member: Member, findings: Findings) -> None:
    homes = sections_of(member.name)
    if homes:
        what = f"{member.name} stands outside of its section, where DMS does not look"
        findings.warn("wrong-section", what, f"move it into {' or '.join(homes)}", member.place)
        return
    close = get_close_matches(member.name, [*SECTIONS, *FREE], n=1, cutoff=0.75)
    meant = MOVED.get(member.name) or (close[0] if close else None)
    fix = f"did you mean {meant!r}?" if meant else "delete it"
    findings.warn("unknown-section", f"task settings have no section {member.name[:60]!r}", fix, member.place)


def _free(name: str, member: Member, findings: Findings) -> list[Given]:
    known = FREE[name]
    if isinstance(member.value, Object) and known.members:
        for each in member.value.members:
            if each.name not in known.members:
                close = get_close_matches(each.name, known.members, n=1, cutoff=0.6)
                fix = f"did you mean {close[0]!r}?" if close else "delete it"
                findings.warn("unknown-setting", f"{name} has no setting {each.name[:60]!r}", fix, each.place)
            elif each.name.startswith("CloudWatchLog") and not _is_null(each):
                what = f"{each.name} is read-only: DMS refuses it when a task is made"
                findings.warn("read-only", what, "delete it", each.place)
            elif each.name == "LogComponents":
                tell_components(each.value, findings)
    return [Given(name, "", None, None, known.verdict, known.here, member.place)]


def _is_null(member: Member) -> bool:
    return isinstance(member.value, Scalar) and member.value.value is None


def _setting(section: str, member: Member, findings: Findings) -> Given | None:
    known = SECTIONS[section].get(member.name)
    name = member.name
    if known is None:
        cased = next((each for each in SECTIONS[section] if each.lower() == name.lower()), None)
        if cased is None:
            _unknown_setting(section, member, findings)
            return None
        findings.note(
            "spelled-otherwise",
            f"{section}.{name} is not spelled as DMS spells it",
            f"write {cased!r}",
            member.place,
        )
        name, known = cased, SECTIONS[section][cased]
    if _is_null(member):
        return Given(section, name, known.default, known.default, known.verdict, known.here, member.place)
    value = _value(f"{section}.{name}", known, member, findings)
    if value is None:
        return None
    return Given(section, name, value, known.default, known.verdict, known.here, member.place)


def _unknown_setting(section: str, member: Member, findings: Findings) -> None:
    homes = sections_of(member.name)
    if homes:
        what = f"{member.name} stands in {section}, where DMS does not look: it has no effect"
        findings.warn("wrong-section", what, f"move it to {' or '.join(homes)}", member.place)
        return
    close = get_close_matches(member.name, list(SECTIONS[section]), n=1, cutoff=0.7)
    meant = MOVED.get(member.name) or (close[0] if close else None)
    fix = f"did you mean {meant!r}?" if meant else "delete it: nothing reads it"
    findings.warn("unknown-setting", f"{section} has no setting {member.name[:60]!r}", fix, member.place)


def _value(name: str, known: Setting, member: Member, findings: Findings) -> Value:
    node = member.value
    text = node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None
    place = node.place
    if known.kind == "boolean":
        truth = as_boolean(node)
        if truth is None:
            findings.error("wrong-type", f"{name} is neither true nor false", "write true or false", place)
        return truth
    if text is None:
        findings.error("wrong-type", f"{name} is no {known.kind}", f"{name} is a {known.kind}", place)
        return None
    if known.kind == "word":
        found = next((word for word in known.words if word.lower() == text.strip().lower()), None)
        if found is None:
            words = ", ".join(dict.fromkeys(known.words))
            findings.error("unknown-word", f"{name} {text[:60]!r} is not known", f"use one of {words}", place)
        return found
    if known.kind == "text":
        return text
    return _number(name, known, text, place, findings)


def _number(name: str, known: Setting, text: str, place: Place, findings: Findings) -> int | None:
    try:
        number = int(text)
    except ValueError:
        findings.error("wrong-type", f"{name} is no whole number", f"write one, as {known.default}", place)
        return None
    if number < known.least or (known.most is not None and number > known.most):
        limits = f"at least {known.least}" if known.most is None else f"{known.least} to {known.most}"
        findings.error("out-of-range", f"{name} is {number}", f"it is {limits}", place)
        return None
    return number
