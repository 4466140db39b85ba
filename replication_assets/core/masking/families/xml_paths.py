"""XML documents, masked path by path: texts and attribute values that no path names are emptied.

    /order/line   /order/line/@widget   /x:order/x:line   (names with their prefix, as written)

Elements and the names of attributes stay: they are the document's form. Comments, processing
instructions and the XML declaration are dropped. Blank text between elements is layout and dropped,
except where it is kept by rule. Addresses of namespaces are replaced, since they are values too.
A document type declaration is refused: entities are how a document becomes a huge one, or one that
reads files. So is what is not one well-formed document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa

from replication_assets.core.masking.families.leaves import LeafMask, Leaves, refuse
from replication_assets.core.masking.masker import Rows, Uniqueness
from replication_assets.errors import PolicyError

_NAME = r"[^\W\d][\w.\-]*"
_PATH = re.compile(rf"(/{_NAME}(:{_NAME})?)+(/@{_NAME}(:{_NAME})?)?")
_FIX = "another rule for the column, or the documents at the source"
_NAMESPACE = "urn:masked"


class _Refused(ValueError):
    """A document that is not masked; its text is never shown."""


def require_path(path: str) -> None:
    """Raises PolicyError for what is no path."""
    if not _PATH.fullmatch(path):
        raise PolicyError([f"{path!r} is no path. Fix: as /order/line or /order/line/@widget"])


@dataclass(frozen=True, slots=True)
class XmlMasker:
    """The rules of a column of XML documents."""

    column: str
    paths: Mapping[str, LeafMask] = field(hash=False)
    draws_by_row: bool
    longest: int | None
    uniqueness: ClassVar[Uniqueness] = "lossy"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def mask(self, rows: Rows) -> pa.Array:
        texts = rows.column(self.column).to_pylist()
        keys = rows.row_keys.to_pylist() if self.draws_by_row else [""] * len(texts)
        refused: dict[str, int] = {}
        gathered: dict[str, Leaves] = {}
        written: list[list[str | None] | None] = []
        for text, key in zip(texts, keys, strict=True):
            document = None if text is None else _Rewriting(self.paths, gathered, key)
            try:
                written.append(None if document is None else document.read(text))
            except _Refused as error:
                refused[str(error)] = refused.get(str(error), 0) + 1
        refuse(refused, f"column {self.column}", _FIX)
        self._put_back(gathered)
        masked = [None if parts is None else "".join(part or "" for part in parts) for parts in written]
        if self.longest is not None:
            long = sum(len(text) > self.longest for text in masked if text is not None)
            refuse({"masked documents are longer than the column takes": long}, f"column {self.column}", _FIX)
        return pa.array(masked, pa.string())

    def _put_back(self, gathered: Mapping[str, Leaves]) -> None:
        unwritable = 0
        for path, leaves in gathered.items():
            masked = self.paths[path].mask("text", leaves.values, leaves.rows)
            for (parts, at, spell), value in zip(leaves.at, masked, strict=True):
                parts[at] = spell("" if value is None else value)
                unwritable += value is not None and not _writable(value)
        refuse({"masked values have characters that XML has not": unwritable}, f"column {self.column}", _FIX)

    def fits(self, values: pa.Array) -> pa.Array:
        wrong: set[int] = set()
        gathered: dict[str, Leaves] = {}
        texts = values.to_pylist()
        for number, text in enumerate(texts):
            if text is not None:
                try:
                    _Fitting(self.paths, gathered, number).read(text)
                except _Refused:
                    wrong.add(number)
        for path, leaves in gathered.items():
            fitting = self.paths[path].fits("text", leaves.values)
            wrong.update(at for at, fits in zip(leaves.at, fitting, strict=True) if not fits)
        return pa.array(
            [None if text is None else number not in wrong for number, text in enumerate(texts)], pa.bool_()
        )


class _Reader:
    """Walks one document; subclasses say what becomes of texts and attributes."""

    def __init__(self, paths: Mapping[str, LeafMask], gathered: dict[str, Leaves]) -> None:
        self.paths = paths
        self.gathered = gathered
        self.open: list[str] = []
        self._places: list[dict[str, int]] = [{}]
        self.where: list[str] = []
        self._text: list[str] = []

    @property
    def path(self) -> str:
        return "/" + "/".join(self.open)

    @property
    def place(self) -> str:
        """The path with the number of each element among its siblings of one name."""
        return "/" + "/".join(self.where)

    def parse(self, text: str) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.CommentHandler = parser.ProcessingInstructionHandler = self.dropped
        try:
            parser.Parse(text, True)
        except (expat.ExpatError, UnicodeEncodeError):
            raise _Refused("documents are no XML") from None

    def _start(self, name: str, attributes: list[str]) -> None:
        self._flush()
        siblings = self._places[-1]
        siblings[name] = siblings.get(name, 0) + 1
        self.open.append(name)
        self.where.append(f"{name}[{siblings[name]}]")
        self._places.append({})
        self.started(name, list(zip(attributes[::2], attributes[1::2], strict=True)))

    def _end(self, name: str) -> None:
        self._flush()
        self.ended(name)
        self.open.pop()
        self.where.pop()
        self._places.pop()

    def _flush(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        if text and self.open:
            self.text(text)

    def started(self, name: str, attributes: list[tuple[str, str]]) -> None:
        raise NotImplementedError

    def ended(self, name: str) -> None:
        raise NotImplementedError

    def text(self, text: str) -> None:
        raise NotImplementedError

    def dropped(self, *_: Any) -> None:
        """A comment or a processing instruction."""


class _Rewriting(_Reader):
    """Writes the masked document in parts; those that wait for their mask are None until then."""

    def __init__(self, paths: Mapping[str, LeafMask], gathered: dict[str, Leaves], key: str) -> None:
        super().__init__(paths, gathered)
        self._key = key
        self._parts: list[str | None] = []

    def read(self, text: str) -> list[str | None]:
        # `dropped` ends a run of text as little as the reader of the result would notice.
        self.parse(text)
        return self._parts

    def started(self, name: str, attributes: list[tuple[str, str]]) -> None:
        self._parts.append(f"<{name}")
        for each, value in attributes:
            self._parts.append(f" {each}=")
            leaf = self.paths.get(f"{self.path}/@{each}")
            if leaf is None:
                self._parts.append(quoteattr(_emptied(each)))
            elif leaf.kept:
                self._parts.append(quoteattr(value))
            else:
                self._wait(leaf, value, f"/@{each}", quoteattr)
        self._parts.append(">")

    def ended(self, name: str) -> None:
        self._parts.append(f"</{name}>")

    def text(self, text: str) -> None:
        leaf = self.paths.get(self.path)
        if leaf is not None and leaf.kept:
            self._parts.append(_escaped(text))
        elif leaf is not None and text.strip():
            self._wait(leaf, text, "", _escaped)

    def _wait(self, leaf: LeafMask, value: str, suffix: str, spell: Any) -> None:
        leaves = self.gathered.setdefault(leaf.path, Leaves())
        place = "/" + "/".join(self.where[:-1]) if leaf.by_container else f"{self.place}{suffix}"
        leaves.values.append(value)
        leaves.rows.append(f"{self._key}{place}")
        leaves.at.append((self._parts, len(self._parts), spell))
        self._parts.append(None)


class _Fitting(_Reader):
    """Refuses a document that has a value at a path that is not named; gathers the others."""

    def __init__(self, paths: Mapping[str, LeafMask], gathered: dict[str, Leaves], number: int) -> None:
        super().__init__(paths, gathered)
        self._number = number

    def read(self, text: str) -> None:
        self.parse(text)

    def started(self, name: str, attributes: list[tuple[str, str]]) -> None:  # noqa: ARG002
        for each, value in attributes:
            if value not in ("", _emptied(each)):
                self._look(f"{self.path}/@{each}", value)

    def ended(self, name: str) -> None:
        """Nothing to hold against anything."""

    def text(self, text: str) -> None:
        self._look(self.path, text)

    def dropped(self, *_: Any) -> None:
        raise _Refused("a comment or a processing instruction")

    def _look(self, path: str, value: str) -> None:
        leaf = self.paths.get(path)
        if leaf is None:
            raise _Refused("a value at a path that is not named")
        if not leaf.kept:
            leaves = self.gathered.setdefault(path, Leaves())
            leaves.values.append(value)
            leaves.at.append(self._number)


def _refuse_doctype(*_: Any) -> None:
    raise _Refused("documents have a document type declaration")


def _emptied(attribute: str) -> str:
    """What an attribute that is not named holds. A prefix must have some address, one of its own."""
    prefix = attribute.removeprefix("xmlns:")
    return f"{_NAMESPACE}:{prefix}" if prefix != attribute else ""


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


def _writable(text: str) -> bool:
    """Whether XML 1.0 has all of its characters."""
    return re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text) is None
