"""Ctrl-C and SIGTERM while a step of a refresh reads rows: an interrupt, and not a failed guard."""

from __future__ import annotations

import subprocess
import sys

import pytest

from replication_assets.cli import exits
from replication_assets.errors import GuardError
from replication_assets.flows.refresh.step import guarded

# In a process of its own: the signal must come while its only thread is in DuckDB. The query ends by
# itself after a while, so that a signal that is not heard fails the test and does not hang it.
PROGRAM = """
import os, signal, threading
import duckdb
from replication_assets.cli import exits
from replication_assets.flows.refresh.step import guarded

def query():
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    duckdb.connect().execute("SELECT count(*) FROM range(1500000000) t(a) WHERE hash(a) = 1").fetchall()

exits.interrupt_on_signals()
try:
    guarded("mask", "shop.public.orders", query)
except BaseException as error:
    exits.end(exits.code_of(error, debug=False))
"""


def test_a_signal_in_a_query_over_rows_is_an_interrupt_and_no_failed_guard() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "Interrupted. Nothing was left half-done.\n")


def test_what_duckdb_says_of_a_signal_is_an_interrupt_to_every_command() -> None:
    assert exits.code_of(RuntimeError("Query interrupted"), debug=False) == exits.INTERRUPTED
    assert exits.code_of(RuntimeError("Query interrupted by a row"), debug=False) == exits.FAILED


def test_any_other_error_over_rows_is_a_failed_guard_without_its_words() -> None:
    def fails() -> None:
        raise RuntimeError("hush-hush")

    with pytest.raises(GuardError) as caught:
        guarded("mask", "shop.public.orders", fails)
    assert "hush" not in str(caught.value)
