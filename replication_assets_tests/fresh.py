"""Processes as if started afresh, without the seconds that importing everything takes.

They are forks of a server that has imported what the steps and the commands need and done nothing
else: no connection, no runtime, no thread that holds a lock. What depends on how an interpreter
starts has processes of its own (`cli/conftest.py`).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping

FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(["replication_assets_tests.fresh_imports"])


def take_over(environment: Mapping[str, str], output: str, errors: str) -> None:
    """In the child: an environment, and files for what it says. The server's are those of the moment
    when its first child was asked for."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, output), (2, errors)):
        stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(stream, number)
        os.close(stream)
