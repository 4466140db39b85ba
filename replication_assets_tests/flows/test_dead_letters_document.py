"""docs/dead-letters.md says what the program does."""

from __future__ import annotations

from typing import Any, get_args

from replication_assets.declarations import DynamoDbProjection, RefusalPolicy, Refusals
from replication_assets.defs.dead_letters import CHECK, DeadLettersConfig
from replication_assets.ports import Closed
from replication_assets_tests.markdown import ROOT, code, quoted, rows

DOCUMENT = ROOT / "docs" / "dead-letters.md"


def test_every_policy_and_every_ending_is_explained() -> None:
    policies = [quoted(row[0])[0] for row in rows(DOCUMENT, "Policies")]
    assert sorted(policies) == sorted(get_args(RefusalPolicy))
    endings = [quoted(row[0])[0] for row in rows(DOCUMENT, "What closes a letter")]
    assert sorted(endings) == sorted(get_args(Closed))


def test_the_example_declares_what_it_says() -> None:
    made: dict[str, Any] = {}
    exec(code(DOCUMENT, "Policies"), made)
    assert isinstance(made["serving"], DynamoDbProjection)
    assert made["serving"].refusals == Refusals("dead-letter", escalate_after=1000, escalate_to="suspend")
    assert Refusals().policy == "dead-letter"


def test_the_names_of_the_library_exist() -> None:
    made: dict[str, Any] = {}
    exec(code(DOCUMENT, "From Python"), made)
    assert {"retry", "discard", "resume", "letter_events", "handling_of"} <= made.keys()


def test_what_is_said_of_dagster_exists() -> None:
    text = DOCUMENT.read_text()
    assert f"`{CHECK}`" in text
    assert set(DeadLettersConfig.model_fields) == {"retry", "discard", "resume"}
