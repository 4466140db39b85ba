"""Bytes of a character set to UTF-8, exactly as the server converts them for a reader.

Servers and Python differ in what they make of rare bytes of the older character sets. So the server
is asked: of a set with one byte per character what each of the 256 is, once; of other sets (of East
Asia) for each distinct value. Those whose bytes are UTF-8, or are defined by Unicode alone, need
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import DecodeError

Query = Callable[[str], Sequence[Sequence[object]]]

_UTF8 = frozenset({"utf8", "utf8mb3", "utf8mb4", "ascii"})
_UNICODE = {"ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be"}
_VALUES_AT_ONCE = 500
_BYTES_AT_ONCE = 1 << 20


class Charsets:
    """Conversions of one server, asked for when they are first needed."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._collations: dict[int, str] = {}
        self._widths: dict[str, int] = {}
        self._tables: dict[str, list[bytes | None]] = {}

    def of_collation(self, collation: int | None) -> str:
        """The character set of a collation's number, `binary` for bytes.

        Raises:
            DecodeError: the server has no such collation.
        """
        if not self._collations:
            self._read()
        try:
            return self._collations[collation or 0]
        except KeyError:
            raise DecodeError(f"collation {collation} is not one of the server's") from None

    def to_text(self, charset: str, values: pa.BinaryArray) -> pa.StringArray:
        """Values of a character set as UTF-8.

        Raises:
            DecodeError: they are not of that character set.
        """
        try:
            if charset in _UTF8:
                return values.cast(pa.string())
            if charset in _UNICODE:
                return _each(values, lambda value: value.decode(_UNICODE[charset]).encode())
            if self.width(charset) == 1:
                return self._by_table(charset, values)
            return self._by_server(charset, values)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            # Messages of both quote the value.
            raise DecodeError(f"a value is not text of character set {charset}") from None

    def statement(self, text: bytes, collation: int | None) -> str:
        """A statement of the log, which is written in its session's character set.

        Raises:
            DecodeError: it cannot be read, and with it the names in it.
        """
        if text.isascii():
            return text.decode()
        charset = "utf8mb4" if collation is None else self.of_collation(collation)
        found: str = self.to_text(charset, pa.array([text], pa.binary()))[0].as_py()
        return found

    def _read(self) -> None:
        found = self._query(
            "SELECT id, character_set_name FROM information_schema.collations"
            " WHERE id IS NOT NULL AND character_set_name IS NOT NULL"
        )
        self._collations = {int(str(number)): str(name) for number, name in found}
        columns = self._query(
            "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'information_schema'"
            " AND table_name = 'COLLATION_CHARACTER_SET_APPLICABILITY' AND column_name = 'ID'"
        )
        if columns[0][0]:
            # MariaDB from 10.10 on lists collations of several character sets only here.
            more = self._query(
                "SELECT id, character_set_name FROM"
                " information_schema.collation_character_set_applicability WHERE id IS NOT NULL"
            )
            self._collations |= {int(str(number)): str(name) for number, name in more}

    def width(self, charset: str) -> int:
        if not self._widths:
            found = self._query("SELECT character_set_name, maxlen FROM information_schema.character_sets")
            self._widths = {str(name): int(str(width)) for name, width in found}
        if charset not in self._widths:
            raise DecodeError(f"the server has no character set {charset}")
        return self._widths[charset]

    def _by_table(self, charset: str, values: pa.BinaryArray) -> pa.StringArray:
        if charset not in self._tables:
            self._tables[charset] = self._convert(charset, [bytes([byte]) for byte in range(256)])
        table = self._tables[charset]
        if _is_plain(values, table):
            return values.cast(pa.string())
        missing = UnicodeDecodeError(charset, b"", 0, 0, "")

        def convert(value: bytes) -> bytes:
            parts = [table[byte] for byte in value]
            if None in parts:
                raise missing
            return b"".join(part for part in parts if part is not None)

        return _each(values, convert)

    def _by_server(self, charset: str, values: pa.BinaryArray) -> pa.StringArray:
        distinct = [value for value in pc.unique(values).to_pylist() if value is not None]
        known: dict[bytes, bytes] = {}
        while distinct:
            size, count = 0, 0
            while count < min(len(distinct), _VALUES_AT_ONCE) and (size < _BYTES_AT_ONCE or not count):
                size, count = size + len(distinct[count]), count + 1
            asked, distinct = distinct[:count], distinct[count:]
            for value, text in zip(asked, self._convert(charset, asked), strict=True):
                if text is None:
                    raise DecodeError(f"a value is not text of character set {charset}")
                known[value] = text
        return _each(values, known.__getitem__)

    def _convert(self, charset: str, values: list[bytes]) -> list[bytes | None]:
        if not charset.isalnum():
            raise DecodeError(f"a character set with the name {charset!r} is not known")
        columns = ", ".join(
            f"HEX(CONVERT(CONVERT(X'{value.hex()}' USING {charset}) USING utf8mb4))" for value in values
        )
        found = self._query(f"SELECT {columns}")[0]
        return [None if text is None else bytes.fromhex(str(text)) for text in found]


def _is_plain(values: pa.BinaryArray, table: list[bytes | None]) -> bool:
    """Whether all bytes are ASCII, and ASCII is itself in this character set."""
    if any(table[byte] != bytes([byte]) for byte in range(128)):
        return False
    _, offsets, data = values.buffers()
    if data is None:
        return True
    ends = np.frombuffer(offsets, dtype=np.int32)
    first, last = ends[values.offset], ends[values.offset + len(values)]
    return not bool((np.frombuffer(data, dtype=np.uint8)[first:last] & 0x80).any())


def _each(values: pa.BinaryArray, convert: Callable[[bytes], bytes]) -> pa.StringArray:
    """Each distinct value converted once."""
    encoded = values.dictionary_encode()
    texts = [convert(value).decode() for value in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)
