"""The member of a message that says which of its stream it is, where a topic has no headers.

    {"replication":{"stream":"feed/1","table":"shop.public.orders","number":17,"position":"..."},...

What `headers` says of the four holds here too. It is the first member of a message, whatever its envelope
is, so that it is found without reading the rest.
"""

from __future__ import annotations

import json

from replication_assets.core.envelopes.headers import Numbered
from replication_assets.core.positions import Position

MEMBER = "replication"
_HEAD = b'{"' + MEMBER.encode() + b'":'
_LONGEST = 65_536
"""Bytes of a member of ours at the most: a name of a table has far fewer."""
_DECODER = json.JSONDecoder()


def member_of(stream: str, table: str, number: int, position: Position) -> bytes:
    """What stands before the other members of a message, up to its comma."""
    told = {"stream": stream, "table": table, "number": number, "position": str(position)}
    return _HEAD + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def with_member(value: bytes, member: bytes) -> bytes:
    """`value` is a JSON object."""
    rest = value[1:].lstrip()
    if not value.startswith(b"{") or not rest:
        raise ValueError("a message is no JSON object")
    return member + (b"" if rest.startswith(b"}") else b",") + value[1:]


def numbered_by_member(value: bytes) -> Numbered | None:
    """None for a message of somebody else."""
    if not value.startswith(_HEAD):
        return None
    text = value[len(_HEAD) : _LONGEST].decode(errors="replace")
    try:
        told, _ = _DECODER.raw_decode(text)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    stream, table, number = told.get("stream"), told.get("table"), told.get("number")
    if not isinstance(stream, str) or not isinstance(table, str) or type(number) is not int or number < 1:
        return None
    return Numbered(stream, table, number)
