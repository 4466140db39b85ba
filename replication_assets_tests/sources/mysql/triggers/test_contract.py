"""The contract of change sources, on a MariaDB that triggers log."""

from __future__ import annotations

from replication_assets_tests.contracts.change_source import ChangeSourceContract


class TestTriggers(ChangeSourceContract):
    """`place` is the one of this folder."""
