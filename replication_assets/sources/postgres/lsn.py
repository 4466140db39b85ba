"""Log sequence numbers: `16/B374D848` on the wire, an int64 commit position here."""

from __future__ import annotations


def parse_lsn(text: str) -> int:
    """Raises ValueError for anything but two hex numbers with a slash between."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
