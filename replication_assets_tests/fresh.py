"""Processes as if started afresh, without the seconds that importing everything takes.

They are forks of a server that has imported what the steps and the commands need and done nothing
else: no connection, no runtime, no thread that holds a lock. What depends on how an interpreter
starts has processes of its own (`cli/conftest.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping

FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(
    [
        "adbc_driver_postgresql.dbapi",
        "boto3",
        "dagster",
        "deltalake",
        "duckdb",
        "psycopg",
        "pyarrow.dataset",
        "replication_assets.cli.app",
        "replication_assets.cli.commands",
        "replication_assets.replication",
        "replication_assets.targets.dynamodb",
        "replication_assets_tests.e2e.system",
        "rich.console",
        "rich.table",
        "sqlalchemy",
    ]
)


def take_over(environment: Mapping[str, str], told_to: int) -> None:
    """In the child: another's environment, and its standard error. The server's are those of the
    moment when its first child was asked for."""
    os.environ.clear()
    os.environ.update(environment)
    for number in (1, 2):
        stream = os.open(f"/proc/{told_to}/fd/{number}", os.O_WRONLY | os.O_APPEND)
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.flush()
