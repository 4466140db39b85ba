"""Rows of the log that write a large object in pieces: which row of the table they belong to.

    DECLARE
     loc_c CLOB;
     buf_c VARCHAR2(6174);
    BEGIN
     select "BODY" into loc_c from "O"."T" where "ID" = '1' and "A" IS NULL for update;

is what SELECT_LOB_LOCATOR prints (9). LOB_WRITE (10), LOB_TRIM (11) and LOB_ERASE (29) go on in the block,
with what the locator was selected for,

     buf_c := 'some text';
      dbms_lob.write(loc_c, 9, 1, buf_c);

or, in later versions, each begins with a selection of its own. What is written is not used, since the row is
read again: it is cut out before a piece is kept. Anything else is not understood, and said to be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from replication_assets.sources.oracle.logminer.redo_text import Image, NotUnderstood, Reader

_OPENING = re.compile(
    r"\s*DECLARE\s+(?:\w+ \w+(?:\(\d+\))?;\s*)+BEGIN\s+"
    r'select "(?P<column>[^"]+)" into \w+ from "(?P<owner>[^"]+)"\."(?P<table>[^"]+)"(?: a)? where ',
    re.IGNORECASE,
)
_FOR_UPDATE = re.compile(r" for update;", re.IGNORECASE)
_TRIMMED = r"(?:\w+ := \d+;\s*)?dbms_lob\.(?:trim|erase)\(\w+(?:\s*,\s*\w+){1,2}\);"
_WRITTEN = (
    r"\w+ := (?P<value>(?:HEXTORAW\(|UNISTR\()?'.*'\)?);"
    r"\s*dbms_lob\.write\(\w+\s*,\s*\d+\s*,\s*\d+\s*,\s*\w+\);"
)
_PIECE = re.compile(rf"\s*(?:{_WRITTEN}|{_TRIMMED})\s*(?:END;)?\s*", re.IGNORECASE | re.DOTALL)
_END = re.compile(r"\s*(?:END;)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Locator:
    """A large object of one row; `row` has the values that the row is found by."""

    owner: str
    table: str
    column: str
    row: Image


def parse_piece(text: str) -> Locator | None:
    """The locator that a row of the log selects; None where it goes on with the one before.

    Raises:
        NotUnderstood: it is of another form, or empty.
    """
    opening = _OPENING.match(text)
    if opening is None:
        if not _PIECE.fullmatch(text):
            raise NotUnderstood("a piece of a large object is not of the known form")
        return None
    row: Image = {}
    reader = Reader(text, opening.end())
    reader.conditions(row)
    after = reader.expect(_FOR_UPDATE).end()
    if not _END.fullmatch(text, after) and not _PIECE.fullmatch(text, after):
        raise NotUnderstood("what follows the selection of a large object is not of the known form")
    return Locator(opening["owner"], opening["table"], opening["column"], row)


def without_value(text: str) -> str:
    """A piece without what it writes; as it stands where it is not understood."""
    opening = _OPENING.match(text)
    selected = _FOR_UPDATE.search(text, opening.end()) if opening is not None else None
    found = _PIECE.fullmatch(text, selected.end() if selected is not None else 0)
    if found is None or found["value"] is None:
        return text
    return text[: found.start("value")] + "''" + text[found.end("value") :]
