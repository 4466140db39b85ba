"""Names that are made from a source's own, within what an engine allows."""

from __future__ import annotations

import hashlib

from replication_assets.core.quoting import constant


def suffixed(name: str, suffix: str, *, limit: int) -> str:
    """`name` with `suffix`, in `limit` bytes of UTF-8: a longer name is cut, and told apart from others
    that begin alike by a hash of the whole."""
    whole = name + suffix
    if len(whole.encode()) <= limit:
        return whole
    mark = "_" + hashlib.blake2b(name.encode(), digest_size=5).hexdigest()
    kept = name.encode()[: limit - len((mark + suffix).encode())].decode(errors="ignore")
    return kept + mark + suffix


text = constant
"""What PostgreSQL and SQLite take as our sessions are set."""
