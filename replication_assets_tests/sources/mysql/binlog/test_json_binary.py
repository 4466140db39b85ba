"""MySQL's binary JSON to its text, from documents encoded by the documentation."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.errors import DecodeError
from replication_assets.sources.mysql.binlog.json_binary import json_text


def encoded(document: Any, *, large: bool = False) -> bytes:
    kind, body = value(document, large)
    return bytes([kind]) + body


def value(document: Any, large: bool) -> tuple[int, bytes]:
    if document is None or isinstance(document, bool):
        return 4, bytes([{None: 0, True: 1, False: 2}[document]])
    if isinstance(document, int):
        for kind, form, low, high in (
            (5, "<h", -(2**15), 2**15),
            (7, "<i", -(2**31), 2**31),
            (9, "<q", -(2**63), 2**63),
        ):
            if low <= document < high:
                return kind, struct.pack(form, document)
        return 10, struct.pack("<Q", document)
    if isinstance(document, float):
        return 11, struct.pack("<d", document)
    if isinstance(document, str):
        data = document.encode()
        return 12, length(len(data)) + data
    return container(document, large)


def length(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def container(document: Any, large: bool) -> tuple[int, bytes]:
    form, width = ("<I", 4) if large else ("<H", 2)
    keys = [key.encode() for key in document] if isinstance(document, dict) else []
    items = list(document.values()) if keys or isinstance(document, dict) else list(document)
    at = 2 * width + len(keys) * (width + 2) + len(items) * (width + 1)
    key_entries, value_entries, tail = b"", b"", b""
    for key in keys:
        key_entries += struct.pack(form, at + len(tail)) + struct.pack("<H", len(key))
        tail += key
    for item in items:
        kind, body = value(item, large)
        if kind in (4, 5, 6) or (large and kind in (7, 8)):
            value_entries += bytes([kind]) + body.ljust(width, b"\0")
        else:
            value_entries += bytes([kind]) + struct.pack(form, at + len(tail))
            tail += body
    size = at + len(tail)
    head = struct.pack(form, len(items)) + struct.pack(form, size)
    kind = (0 if isinstance(document, dict) else 2) + large
    return kind, head + key_entries + value_entries + tail


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(document=DOCUMENTS, large=st.booleans())
def test_a_document_is_printed_as_the_server_prints_it(document: Any, large: bool) -> None:
    assert json_text(encoded(document, large=large)) == json.dumps(document, ensure_ascii=False)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0.0"), (1.5, "1.5"), (-3.0, "-3.0"), (0.0001, "0.0001"), (1e-10, "1e-10"), (1e100, "1e100")],
)
def test_a_double_is_printed_with_the_fewest_digits(number: float, text: str) -> None:
    assert json_text(encoded(number)) == text


def test_dates_and_decimals_inside_of_documents_are_printed() -> None:
    moment = ((2024 * 13 + 2) << 5 | 29) << 17 | (23 << 12 | 59 << 6 | 58)
    stamp = struct.pack("<q", moment << 24 | 123456)
    assert json_text(bytes([15, 12, 8]) + stamp) == '"2024-02-29 23:59:58.123456"'
    assert json_text(bytes([15, 10, 8]) + stamp) == '"2024-02-29"'
    assert json_text(bytes([15, 246, 5, 5, 2]) + bytes([0x80, 0x7B, 0x2D])) == "123.45"
    assert json_text(bytes([15, 252, 2]) + b"ab") == '"base64:type252:YWI="'


@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    with suppress(DecodeError):
        assert isinstance(json_text(data), str)
