"""What of the driver's errors may be told, and how batches grow."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.sqlserver_driver import BATCH_BYTES, message_of, names_only, next_rows

CANARY = "canary-2b9"


@dataclass
class Told:
    """An error as the driver has it."""

    driver_error: str
    ddbc_error: str


@given(asked=st.integers(1, 65_536), rows=st.integers(1, 2_000), width=st.integers(0, 200_000))
def test_the_next_batch_is_never_much_larger_than_memory_allows(asked: int, rows: int, width: int) -> None:
    value = pa.scalar(b"x" * min(width, 2_000), pa.large_binary())
    batch = pa.record_batch({"c": pa.repeat(value, rows)})
    found = next_rows(asked, batch)
    assert 1 <= found <= max(1, 4 * asked)
    assert found == 1 or found * batch.nbytes / rows <= BATCH_BYTES * 1.01


def test_a_message_of_names_alone_is_told_and_nothing_around_it() -> None:
    server = f"[Driver]Invalid object name 'dbo.orders'. near '{CANARY}'"
    message = message_of(Told("Base table not found", server), names_only())
    assert message.what == "Base table not found: Invalid object name 'dbo.orders'"
    assert message.names == "Invalid object name 'dbo.orders'"
    assert CANARY not in repr(message)


def test_a_message_that_one_side_knows_is_nothing_to_the_other() -> None:
    error = Told("Syntax error", "Could not find stored procedure 'sys.sp_x'.")
    assert message_of(error, names_only()).names is None
    known = names_only(r"Could not find stored procedure '[^']{1,128}'")
    assert message_of(error, known).what == "Syntax error: Could not find stored procedure 'sys.sp_x'"


@pytest.mark.parametrize(
    ("server", "lost", "altered"),
    [
        ("Communication link failure", True, False),
        ("Transaction was deadlocked on lock resources", True, False),
        ("Lock request time out period exceeded.", False, True),
        ("the object was modified by a DDL statement in another transaction", False, True),
        (f"Conversion failed when converting '{CANARY}'", False, False),
    ],
)
def test_what_passes_is_told_from_what_stays(server: str, lost: bool, altered: bool) -> None:
    message = message_of(Told("General error", server), names_only())
    assert (message.is_lost, message.is_altered, message.what) == (lost, altered, "General error")


def test_an_error_that_tells_nothing_is_told_by_its_kind() -> None:
    assert message_of(KeyError(CANARY), names_only()).what == "KeyError"
