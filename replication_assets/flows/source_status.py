"""The status of a source with our place in its log, whether the source knows that place or is told it."""

from __future__ import annotations

from replication_assets.ports import CaptureMark, ChangeSource, PassiveSource, SourceStatus


def source_status(source: ChangeSource, mark: CaptureMark | None) -> SourceStatus:
    """`mark` is the last of the source's ledger; None before the first."""
    if mark is not None and isinstance(source, PassiveSource):
        return source.status_after(mark.commit)
    return source.status()
