"""Parts of documents, by paths: what no path names is left out.

    /order/line   /order/line/@widget   /x:order/note/text()     of XML, names with their prefix as written
    $.plan   $.emails[*].to   $['odd name']                      of JSON

A path names a part with all that is in it. Elements of lists are looked into one by one: those that have
nothing of what is named are left out, the others keep their order. A document that has nothing of it is
an empty map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from replication_assets.core.items.documents import Node, NumberText

_NAME = r"[^\W\d][\w.\-]*(?::[^\W\d][\w.\-]*)?"
_XML = re.compile(rf"(?:/{_NAME})+(?:/@{_NAME}|/text\(\))?")
_JSON = re.compile(r"\.([^\W\d]\w*)|\['((?:[^'\\]|\\.)+)'\]|(\[\*\])")
_TEXT = "#text"


class _Nothing:
    """What a document without the named parts has of them: not the same as null."""


_NOTHING = _Nothing()


@dataclass(slots=True)
class Selection:
    """A place that paths name (`whole`) or go through."""

    members: dict[str, Selection] = field(default_factory=dict)
    whole: bool = False

    def of(self, document: Node) -> Node:
        """The named parts of a document, in its own form."""
        found = _picked(document, self)
        return {} if isinstance(found, _Nothing) else found


def selection_of(paths: Sequence[str], kind: str) -> Selection:
    """Paths that `path_problems` found sound; without any, the whole document."""
    root = Selection(whole=not paths)
    for path in paths:
        place = root
        for step in _steps(path, kind) or ():
            place = place.members.setdefault(step, Selection())
        place.whole = True
    return root


def path_problems(paths: Sequence[str], kind: str) -> Iterator[str]:
    """What is no path of such documents, each with its fix."""
    for path in paths:
        if _steps(path, kind) is None:
            example = "/order/line, /order/line/@widget" if kind == "xml" else "$.plan, $.emails[*].to"
            yield f"select {path[:60]!r} is no path of {kind.upper()}. Fix: as {example}"
    for path in sorted({path for path in paths if paths.count(path) > 1}):
        yield f"select {path[:60]!r} is named twice. Fix: name it once"


def _steps(path: str, kind: str) -> tuple[str, ...] | None:
    """Names on the way; None for what is no path."""
    if kind == "xml":
        if not _XML.fullmatch(path):
            return None
        return tuple(_TEXT if step == "text()" else step for step in path.split("/")[1:])
    if not path.startswith("$"):
        return None
    steps, at = [], 1
    while at < len(path):
        found = _JSON.match(path, at)
        if found is None:
            return None
        name, quoted, _ = found.groups()
        if name is not None or quoted is not None:
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = found.end()
    return tuple(steps)


def _picked(node: Node, selection: Selection) -> Node | _Nothing:
    if selection.whole:
        return node
    if isinstance(node, dict):
        inner = {
            name: _picked(value, selection.members[name])
            for name, value in node.items()
            if name in selection.members
        }
        kept = {name: value for name, value in inner.items() if not isinstance(value, _Nothing)}
        return kept or _NOTHING
    if isinstance(node, list):
        listed = [
            each for each in (_picked(one, selection) for one in node) if not isinstance(each, _Nothing)
        ]
        return listed or _NOTHING
    # An element without attributes and children is its text.
    is_text = isinstance(node, str) and not isinstance(node, NumberText)
    return node if is_text and _TEXT in selection.members else _NOTHING
