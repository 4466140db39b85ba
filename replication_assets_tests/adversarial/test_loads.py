"""Rows that the target refuses, and processes that die: what is told, and what is left."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from replication_assets.core.masking.rules import Constant, Keep
from replication_assets.errors import PolicyError, ReplicationError, VerificationFailed
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.tables import copies, planned_tables
from replication_assets_tests.adversarial.vault import Attack
from replication_assets_tests.e2e.refreshes import RefreshSystem
from replication_assets_tests.e2e.workers import finish, start


def test_two_masked_values_in_a_unique_column_are_refused_before_a_row_is_read(attack: Attack) -> None:
    there = attack.ruled("people", email=("pii.email", Constant("one@masked.invalid")))
    there.refused(PolicyError, "email", there.run)


def test_values_that_break_a_check_of_the_copy_are_counted_and_not_quoted(attack: Attack) -> None:
    refreshing, plan = attack.masked()
    _begin(refreshing, plan)
    attack.sql("ALTER TABLE public__incoming.visits ADD CHECK (length(contact) < 3)")
    error = attack.refused(
        VerificationFailed, "rows break the constraint", lambda: load_refresh(refreshing, plan, run="load")
    )
    assert "masked.invalid" not in str(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER contact TYPE varchar(5)", "SQLSTATE 22001"),
        ("ALTER remark TYPE integer USING NULL", "SQLSTATE 22P02"),
        ("ALTER contact SET NOT NULL, ADD UNIQUE (id)", "NOT NULL|constraint|SQLSTATE"),
    ],
)
def test_values_that_the_server_refuses_are_not_quoted(attack: Attack, change: str, words: str) -> None:
    refreshing, plan = attack.masked()
    _begin(refreshing, plan)
    attack.sql(f"ALTER TABLE public__incoming.visits {change}")
    if "NOT NULL" in change:
        attack.sql("INSERT INTO public__incoming.visits VALUES (1, 1, 'x', NULL)")
    error = attack.refused(ReplicationError, words, lambda: load_refresh(refreshing, plan, run="load"))
    assert "masked.invalid" not in str(error)


def test_rows_that_refer_to_nothing_are_counted_and_not_published(attack: Attack) -> None:
    """The same person under two masks: the reference breaks, and nothing of either is told."""
    there = attack.ruled("visits", person_id=("public", Keep()))
    there.refused((PolicyError, VerificationFailed), "person_id|foreign key", there.run)  # type: ignore[arg-type]
    assert not there.published()


def _begin(refreshing: Any, plan: Any) -> None:
    refreshing.target.begin(plan, copies(planned_tables(refreshing, plan)))


def die_in(made: RefreshSystem, part: str, method: str) -> None:
    """In a process of its own, which is killed right after this was done."""
    refreshing = made.refreshing()
    owner: Any = type(refreshing.staging if part == "staging" else refreshing.target)
    original = getattr(owner, method)

    def killed(*given: Any, **named: Any) -> Any:
        original(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, killed)
    run_refresh(refreshing, run="killed", fresh=True)


@pytest.mark.parametrize(("part", "method"), [("staging", "put"), ("target", "load")])
def test_what_a_killed_process_leaves_is_masked_and_the_next_run_publishes_it(
    attack: Attack, part: str, method: str
) -> None:
    made = RefreshSystem(attack.system, attack.database.dsn)
    finish(start(die_in, made, part, method), -signal.SIGKILL)
    attack.require_nothing_raw()
    assert not attack.published()
    run_refresh(attack.refreshing(), run="again")
    assert attack.sql("SELECT count(*) FROM people") == [(6,)]
