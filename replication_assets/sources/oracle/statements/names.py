"""Names in SQL text. Oracle allows any character in a quoted name but the quote itself and NUL."""

from __future__ import annotations

from replication_assets.errors import SourceNotReady

MAX_BYTES = 128
"""Since 12.2; 30 before, which the server itself tells."""


def quoted(*names: str) -> str:
    """Identifiers joined by dots.

    Raises:
        SourceNotReady: no identifier of Oracle has such a name, so that none can be quoted.
    """
    for name in names:
        if not name or '"' in name or "\0" in name or len(name.encode(errors="surrogatepass")) > MAX_BYTES:
            raise SourceNotReady(
                f"{name[:40]!r} is no name of Oracle: 1 to {MAX_BYTES} bytes without a double quote",
                fix="spell names as the data dictionary does, usually in upper case",
            )
    return ".".join(f'"{name}"' for name in names)


def literal(text: str) -> str:
    """A string constant, for statements that people are told to run."""
    return "'" + text.replace("'", "''") + "'"
