"""Capture by triggers, where neither change data capture nor Change Tracking may be switched on.

`statements.triggers` is what is made in the database, `setup` makes, follows and removes it, `positions` says
in what order it is read and why nothing is skipped, `stream` and `decoding` read it, `trimming` shortens it.
"""

from replication_assets.sources.sqlserver.triggers import setup
from replication_assets.sources.sqlserver.triggers.positions import TriggerHandOff, read_status
from replication_assets.sources.sqlserver.triggers.preflight import consequences
from replication_assets.sources.sqlserver.triggers.stream import open_changes

__all__ = ["TriggerHandOff", "consequences", "open_changes", "read_status", "setup"]
