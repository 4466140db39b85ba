"""What a converter or a target refuses, told without showing a value."""

from __future__ import annotations

from dataclasses import dataclass

from replication_assets.core.positions import Position


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that the target cannot hold, or one value of it that cannot be converted.

    `key` is a JSON object of the columns that identify the row, values as canonical text;
    `position` that of the event that made the row. With a `column` the rest of the row was
    kept, without one none of it was. `reason` is a code (`malformed-json`, `item-too-large`);
    `detail` explains it and never shows a value.
    """

    key: str
    position: Position
    column: str | None
    reason: str
    detail: str
