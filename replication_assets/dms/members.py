"""Members of a JSON object, taken one by one with what they have to be.

DMS takes numbers and booleans as texts, and so do we; words are taken in any case and told where they
are not spelled as documented. Members that nobody took are unknown, and named with what was meant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from replication_assets.dms.findings import Findings, Place
from replication_assets.dms.json_source import Array, Member, Node, Object, Scalar


class Members:
    """`rule` is told with every finding."""

    def __init__(self, node: Object, findings: Findings, what: str, rule: str | None = None) -> None:
        self.place = node.place
        self.findings = findings
        self.what = what
        self.rule = rule
        self._members = {member.name: member for member in node.members}
        self._taken: set[str] = set()

    def error(self, code: str, what: str, fix: str, place: Place | None = None) -> None:
        self.findings.error(code, what, fix, place or self.place, self.rule)

    def warn(self, code: str, what: str, fix: str, place: Place | None = None) -> None:
        self.findings.warn(code, what, fix, place or self.place, self.rule)

    def has(self, name: str) -> bool:
        return name in self._members

    def place_of(self, name: str) -> Place:
        member = self._members.get(name)
        return member.value.place if member else self.place

    def take(self, name: str, *, required: bool = False) -> Node | None:
        """The value of a member, None where it is missing or null."""
        self._taken.add(name)
        member = self._members.get(name)
        if member is None:
            if required:
                self.error("missing-member", f"{self.what} has no {name!r}", f"add {name!r}")
            return None
        if isinstance(member.value, Scalar) and member.value.value is None:
            if required:
                self.error(
                    "missing-member", f"{name!r} of {self.what} is null", f"add {name!r}", member.place
                )
            return None
        return member.value

    def text(
        self, name: str, *, required: bool = False, empty: bool = False, truth: bool = False
    ) -> str | None:
        """A text; a number stands for its digits, with `truth` also true and false for their words."""
        node = self.take(name, required=required)
        if node is None:
            return None
        if truth and isinstance(node, Scalar) and isinstance(node.value, bool):
            return "true" if node.value else "false"
        if not isinstance(node, Scalar) or isinstance(node.value, bool):
            self._wrong(name, "a text", node)
            return None
        if node.value == "" and not empty:
            self.error("empty-member", f"{name!r} is empty", f"write what {name!r} stands for", node.place)
            return None
        return node.value

    def word(self, name: str, words: Collection[str], *, required: bool = False) -> str | None:
        """One of some words, in any case."""
        given = self.text(name, required=required)
        if given is None:
            return None
        if given in words:
            return given
        found = next((word for word in words if word.lower() == given.strip().lower()), None)
        if found is None:
            self.error(
                "unknown-word",
                f"{name} {given[:60]!r} is not known",
                _meant(given, words) or f"use one of {', '.join(sorted(words))}",
                self.place_of(name),
            )
            return None
        self.findings.note(
            "spelled-otherwise",
            f"{name} {given[:60]!r} is documented as {found!r}",
            f"write {found!r}",
            self.place_of(name),
            self.rule,
        )
        return found

    def integer(
        self, name: str, *, least: int = 0, most: int | None = None, empty: bool = False
    ) -> int | None:
        """With `empty` an empty text stands for nothing, as in the documentation's `"scale": ""`."""
        node = self.take(name)
        if node is None or (empty and isinstance(node, Scalar) and node.value == ""):
            return None
        number = _integer(node)
        if number is None:
            self._wrong(name, "an integer", node)
        elif number < least or (most is not None and number > most):
            limits = f"at least {least}" if most is None else f"between {least} and {most}"
            self.error("out-of-range", f"{name} is {number}", f"{name} is {limits}", node.place)
        else:
            return number
        return None

    def boolean(self, name: str, default: bool) -> bool:
        node = self.take(name)
        if node is None:
            return default
        found = as_boolean(node)
        if found is None:
            self._wrong(name, "true or false", node)
            return default
        return found

    def object(self, name: str, what: str, *, required: bool = False) -> Members | None:
        node = self.take(name, required=required)
        if node is None:
            return None
        if not isinstance(node, Object):
            self._wrong(name, "an object {...}", node)
            return None
        return Members(node, self.findings, what, self.rule)

    def array(self, name: str, *, required: bool = False) -> tuple[Node, ...]:
        node = self.take(name, required=required)
        if node is None:
            return ()
        if not isinstance(node, Array):
            self._wrong(name, "a list [...]", node)
            return ()
        return node.items

    def texts(self, name: str, *, required: bool = False) -> tuple[str, ...]:
        found = []
        for node in self.array(name, required=required):
            if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
                found.append(node.value)
            else:
                self._wrong(name, "a list of texts", node)
        return tuple(found)

    def objects(self, name: str, what: str, *, required: bool = False) -> Iterator[Members]:
        for node in self.array(name, required=required):
            if isinstance(node, Object):
                yield Members(node, self.findings, what, self.rule)
            else:
                self._wrong(name, "a list of objects {...}", node)

    def untaken(self) -> tuple[Member, ...]:
        return tuple(member for name, member in self._members.items() if name not in self._taken)

    def finish(self) -> None:
        """Name the members that nobody took: DMS reads over them, so that what they ask for is not done.
        Null asks for nothing: the console writes it into rules of every kind."""
        for member in self.untaken():
            if isinstance(member.value, Scalar) and member.value.value is None:
                continue
            self.warn(
                "unknown-member",
                f"{self.what} has no member {member.name[:60]!r}, and nothing reads it",
                _meant(member.name, self._taken) or "delete it",
                member.place,
            )

    def _wrong(self, name: str, expected: str, node: Node) -> None:
        self.error("wrong-type", f"{name!r} is not {expected}", f"{name!r} is {expected}", node.place)


def _meant(given: str, words: Collection[str]) -> str:
    by_lower = {word.lower(): word for word in words}
    close = get_close_matches(given.strip().lower().replace("_", "-"), list(by_lower), n=1, cutoff=0.7)
    return f"did you mean {by_lower[close[0]]!r}?" if close else ""


def _integer(node: Node) -> int | None:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return None
    try:
        return int(node.value)
    except ValueError:
        return None


def as_boolean(node: Node) -> bool | None:
    """true and false, also as texts in any case."""
    if not isinstance(node, Scalar):
        return None
    if isinstance(node.value, bool):
        return node.value
    return {"true": True, "false": False}.get((node.value or "").strip().lower())
