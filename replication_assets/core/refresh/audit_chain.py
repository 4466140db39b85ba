"""The chain of an environment's audit: each line's hash is over the hash before it and its content.

Whoever changes a line, takes one out or puts one in has to make every later hash anew; the newest
hash, kept anywhere else, then tells. The chain alone cannot tell that its end was cut off: the
store counts lines besides.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

BEGINNING = "0" * 64
"""What the first line follows."""


def canonical(content: Mapping[str, object]) -> str:
    """JSON with sorted keys and nothing that has two spellings.

    Raises:
        ValueError, TypeError: there is something that JSON does not hold, or a key that is no text.
    """
    _require_text_keys(content)
    return json.dumps(
        dict(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def link(previous: str, content: Mapping[str, object]) -> str:
    """The hash of a line after one with the hash `previous`: BLAKE2b-256, 64 hex digits."""
    return hashlib.blake2b(f"{previous}\n{canonical(content)}".encode(), digest_size=32).hexdigest()


def first_break(
    lines: Iterable[tuple[Mapping[str, object], str]], *, after: int = 0, previous: str = BEGINNING
) -> int | None:
    """Number of the first line whose hash does not follow; None if all do. Lines are given as content
    and hash, oldest first, each with its `number` in the content. They follow the line number `after`,
    whose hash is `previous`."""
    for number, (content, told) in enumerate(lines, start=after + 1):
        if content.get("number") != number or link(previous, content) != told:
            return number
        previous = told
    return None


def _require_text_keys(value: object) -> None:
    """`json` would spell a number or None as a text, and two keys could become one."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is no text")
        for each in value.values():
            _require_text_keys(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _require_text_keys(each)
