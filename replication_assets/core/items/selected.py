"""Documents of which an item keeps some parts."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.documents.selection import selection_of
from replication_assets.core.items.documents import Convert, Written, decoded, written
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.xml_documents import parsed

SELECTABLE = ("json", "xml")
"""Types whose values have parts with names."""


def selecting(kind: str, paths: Sequence[str]) -> Convert:
    """Writes the parts that `paths` name. It raises what `from_json` and `from_xml` raise."""
    selection = selection_of(paths, kind)
    read = {"json": decoded, "xml": parsed}[kind]

    def convert(text: str, depth: int) -> Written:
        try:
            return written(selection.of(read(text)), depth)
        except RecursionError:
            raise NotStorable("too-deep") from None
        except UnicodeEncodeError:
            raise NotStorable(f"malformed-{kind}", "half a surrogate pair") from None

    return convert
