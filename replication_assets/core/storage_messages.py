"""What a client of object stores said, cut to what it means.

delta-rs reports a refusal as a tree of lines: a first one that may say no more than "Generic S3
error", then request, status and the store's own answer as XML, or the operating system's. Passed on
are the first line, the HTTP status, the store's code (`SlowDown`, `ExpiredToken`) and what the system
calls an error by number; the rest quotes addresses.
"""

from __future__ import annotations

import re

_STATUS = re.compile(r"^\W*(?:\x1b\[\d+m\W*)*([45]\d\d [A-Z][A-Za-z' -]*)\s*$", re.MULTILINE)
_SYSTEM = re.compile(r"([A-Z][a-z]+(?: [A-Za-z]+){0,8} \(os error \d+\))")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")


def storage_message(error: BaseException) -> str:
    """One line; the error's type where it has no words."""
    text = str(error).strip()
    lines = text.splitlines()
    if not lines:
        return type(error).__name__
    told = [found.group(1) for pattern in (_STATUS, _CODE, _SYSTEM) if (found := pattern.search(text))]
    told = [each for each in told if each not in lines[0]]
    return f"{lines[0]} ({', '.join(told)})" if told else lines[0]
