"""JSON objects from arrays of members, whole columns at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

MessageFormat: TypeAlias = Literal["json", "json-unformatted"]
Texts: TypeAlias = pa.StringArray


class Layout:
    """JSON objects from arrays of members: in one line, or over lines with tabs as DMS prints them."""

    def __init__(self, form: MessageFormat) -> None:
        self._lines = form == "json"

    def member(self, name: str, values: Texts) -> Texts:
        """Null where the value is."""
        colon = ":\t" if self._lines else ":"
        return pc.binary_join_element_wise(f"{text(name)}{colon}", values, "")

    def object(self, members: Sequence[Texts], depth: int) -> Texts:
        """Of the members that are not null."""
        within = "\n" + "\t" * (depth + 1) if self._lines else ""
        close = "\n" + "\t" * depth if self._lines else ""
        joined = pc.binary_join_element_wise(*members, f",{within}", null_handling="skip")
        if len(joined) < len(members[0]):
            # Arrow gives an empty array where every member is null in every row.
            joined = pa.repeat("", len(members[0]))
        return pc.binary_join_element_wise("{" + within, joined, close + "}", "")


def text(value: str) -> str:
    """A text of ours as JSON."""
    return json.dumps(value, ensure_ascii=False)
