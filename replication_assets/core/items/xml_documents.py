"""XML as a map, by one convention.

    <order id="7" xmlns:x="urn:x"><x:line>a</x:line><x:line n="2">b</x:line><note/></order>
    {"order": {"@id": "7", "@xmlns:x": "urn:x",
               "x:line": ["a", {"@n": "2", "#text": "b"}], "note": ""}}

The root's name is the one name of the outer map. An element without attributes and children is
its text, character for character (`""` for none); any other is a map of its attributes (`@name`),
its children and its text (`#text`). Children of one name are a list, in their order; the order
among different names is not kept. Blanks between children are layout and dropped; other text
beside children is joined. Names keep their prefix. Comments and processing instructions are
dropped. All values are strings.

A document type declaration is refused whole: entities are how a small document becomes a
huge one, or one that reads files.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from replication_assets.core.items.documents import MAX_DEPTH, Node, Written, written
from replication_assets.core.items.numbers import NotStorable


def from_xml(text: str, depth: int) -> Written:
    """Raises NotStorable: `malformed-xml`, `xml-entities`, `too-deep`."""
    return written(parsed(text), depth)


def parsed(text: str, most: int = MAX_DEPTH) -> Node:
    """The document as maps, lists and strings; `most` is how many elements may be inside each other.

    Raises:
        NotStorable: as `from_xml`; `malformed-xml` with the parser's words.
    """
    builder = _Builder(most)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        # The parser's text for its code: what it prints may be no more than that.
        words = expat.ErrorString(error.code)
        detail = f"{words} at line {error.lineno}, column {error.offset + 1}"
        raise NotStorable("malformed-xml", detail) from None
    except UnicodeEncodeError:
        raise NotStorable("malformed-xml", "half a surrogate pair") from None
    return builder.root


def _refuse_doctype(*_: Any) -> None:
    raise NotStorable("xml-entities")


class _Builder:
    """Elements that are open, outermost first, each with its members and its text so far."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.root: dict[str, Node] = {}
        self._open: list[tuple[dict[str, Node], list[str]]] = [(self.root, [])]

    def start(self, _name: str, attributes: list[str]) -> None:
        if len(self._open) > self._most:
            raise NotStorable("too-deep")
        members: dict[str, Node] = {
            f"@{name}": value for name, value in zip(attributes[::2], attributes[1::2], strict=True)
        }
        self._open.append((members, []))

    def characters(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, name: str) -> None:
        members, texts = self._open.pop()
        text = "".join(texts)
        value: Node = text
        if members:
            if text.strip():
                members["#text"] = text
            value = members
        siblings = self._open[-1][0]
        earlier = siblings.get(name)
        if earlier is None:
            siblings[name] = value
        elif isinstance(earlier, list):
            earlier.append(value)
        else:
            siblings[name] = [earlier, value]
