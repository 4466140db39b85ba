"""Why a capture cannot go on from where it was, and what mends that, in the same words for every source.

None of these passes by waiting: what is missing was not kept, or is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.errors import SlotLost, SourceNotReady


def changes_lost(problem: str, where: str) -> SlotLost:
    """Changes after the last durable one are gone."""
    return SlotLost(
        problem, where=where, fix="recover the source (a new epoch) and load every id range again"
    )


def change_log_lost(problem: str, where: str) -> SlotLost:
    """The same, of a log that triggers keep: recovering makes another one."""
    return SlotLost(
        problem,
        where=where,
        fix="recover the source, which makes a new log, and load every id range again",
    )


def changes_not_kept(problem: str, where: str) -> SourceNotReady:
    """Tables are to be captured that were left out when the capture was set up, or since."""
    return SourceNotReady(
        problem,
        where=where,
        fix="set the capture up again, and load these tables again: their changes were not kept",
    )


def require_triggers(left_out: Sequence[str], where: str) -> None:
    """Raises SourceNotReady if there are tables that exist, and that no triggers are known to log."""
    if left_out:
        raise changes_not_kept(f"no triggers keep the changes of {', '.join(left_out)}", where)
