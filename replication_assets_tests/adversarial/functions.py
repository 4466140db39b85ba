"""Functions that a team might write: each does one thing that it should not."""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa

from replication_assets.ports.environment import RefreshHookCall
from replication_assets_tests.adversarial.vault import LOST, MAIL


def as_it_was(values: pa.Array, words: Any) -> pa.Array:
    return values


def one_as_it_was(values: pa.Array, words: Any) -> pa.Array:
    return pa.array([values[0].as_py(), *(f"m{number}" for number in range(1, len(values)))])


def too_few(values: pa.Array, words: Any) -> pa.Array:
    return pa.array([f"m{number}" for number in range(1, len(values))], values.type)


def raising(values: pa.Array, words: Any) -> pa.Array:
    try:
        raise KeyError(values[0].as_py())
    except KeyError as error:
        error.add_note(values[0].as_py())
        raise ValueError(f"cannot mask {values[0].as_py()}") from error


def shouting(values: pa.Array, words: Any) -> pa.Array:
    """Not equal to its input, and the input all the same."""
    return pa.array([value.as_py().upper() for value in values])


def printing(values: pa.Array, words: Any) -> pa.Array:
    sys.stdout.write(values[0].as_py())
    return pa.array([f"m{number}" for number in range(len(values))])


def known_address(schema: pa.Schema) -> pa.Table:
    """A row for testers with the address of a customer in a column that is kept."""
    row = {"id": 99, "email": f"{'0' * 16}@masked.invalid", "mood": "paid", "region": MAIL.format(4)}
    return pa.Table.from_pylist([row], schema=schema)


def own_address(schema: pa.Schema) -> pa.Table:
    """A row whose address is nobody's, and of no form that the rule makes."""
    row = {"id": 99, "contact": LOST}
    return pa.Table.from_pylist([row], schema=schema)


def raising_rows(schema: pa.Schema) -> pa.Table:
    raise ValueError(f"no row for {LOST}")


def other_columns(schema: pa.Schema) -> pa.Table:
    return pa.table({"id": [1], "contact": [LOST]})


def raising_hook(call: RefreshHookCall) -> None:
    raise ValueError(f"not for {LOST}")


def writing_hook(call: RefreshHookCall) -> None:
    call.execute(f"UPDATE visits SET contact = '{MAIL.format(5)}' WHERE id = 1")
    raise ValueError("and then it failed")
