"""A document as JSON text in one spelling: compact, names sorted, numbers as they were written."""

from __future__ import annotations

from json.encoder import encode_basestring as quoted_json

from replication_assets.core.items.documents import Node, NumberText
from replication_assets.core.items.numbers import NotStorable

MAX_DEPTH = 64
"""Maps and lists inside each other: what every database with a type for JSON takes (MySQL: 100)."""

_WORDS: dict[object, str] = {None: "null", True: "true", False: "false"}


def json_text(node: Node) -> str:
    """Raises NotStorable: `too-deep`; `malformed-json` for half a surrogate pair."""
    text = _written(node, 0)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotStorable("malformed-json", "half a surrogate pair") from None
    return text


def _written(node: Node, depth: int) -> str:
    if isinstance(node, NumberText):
        return str(node)
    if isinstance(node, str):
        return quoted_json(node)
    if isinstance(node, dict | list) and depth >= MAX_DEPTH:
        raise NotStorable("too-deep")
    if isinstance(node, dict):
        members = (f"{quoted_json(name)}:{_written(node[name], depth + 1)}" for name in sorted(node))
        return f"{{{','.join(members)}}}"
    if isinstance(node, list):
        return f"[{','.join(_written(each, depth + 1) for each in node)}]"
    return _WORDS[node]
