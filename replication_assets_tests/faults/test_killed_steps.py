"""kill -9 at every named place of every step: the ordinary next run mends it, with nothing cleaned up.

Every place of `failpoints.PLACES` is killed in every step that reaches it: a place without a step
is no test that is missing, but one that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from replication_assets.errors import ReplicationError
from replication_assets.failpoints import PLACES
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.faults.kills import STEPS, check_promises, die, durable, failing_at, run_step
from replication_assets_tests.faults.systems import FaultySystem, copied_system, lake_system, served_system
from replication_assets_tests.postgres_servers import FreshDatabase


def _full(*values: str, full: bool = True) -> ParameterSet:
    return pytest.param(*values, id="-".join(values), marks=[pytest.mark.full] if full else [])


ONE_BY_ONE = [_full(name, place) for name, step in STEPS.items() for place in step.places]
AMONG_MANY = {
    "load": ("load.finished",),
    "capture": ("capture.table_committed", "capture.recorded"),
    "compact": ("compact.written",),
    "project": ("delta.written", "delta.committed"),
    "project items": ("dynamodb.batch_put", "dynamodb.items_written"),
    "project tables": ("sql.merged", "sql.checkpointed", "sql.committed"),
}
"""Places of the short form: the last moment of doubt before each kind of commit, and after it."""

Making = Callable[[str], FaultySystem]


@pytest.fixture
def making(database: FreshDatabase, tmp_path: Path, request: pytest.FixtureRequest) -> Making:
    def make(name: str) -> FaultySystem:
        if STEPS[name].into == "lake":
            return lake_system(database, tmp_path)
        if STEPS[name].into == "tables":
            return copied_system(database, tmp_path)
        server: DynamoDbServer = request.getfixturevalue("moto_dynamodb")
        return served_system(database, tmp_path, server)

    return make


def test_every_place_is_reached_by_a_step() -> None:
    reached = {place for step in STEPS.values() for place in step.places}
    # Captures of topics and of landed files, and publishers, are killed at theirs in `e2e/test_kafka.py`,
    # `test_landed.py`, `test_streams.py` and `test_topics.py`.
    assert reached == {
        place for place in PLACES if not place.startswith(("kafka.", "landed.", "stream.", "topic."))
    }


@pytest.mark.parametrize(("name", "place"), ONE_BY_ONE)
def test_what_a_killed_run_left_is_mended_also_by_a_run_that_was_killed_before_it(
    making: Making, name: str, place: str
) -> None:
    """Dies at the place, then at the second time of it in the run that goes on from there."""
    system = making(name)
    step = STEPS[name]
    for each in (place, f"{place}@2"):
        step.prepare(system)
        die(system, name, each)
    step.run(system)
    system.check_all()


@pytest.mark.parametrize(
    "name", [_full(name, full=name not in AMONG_MANY) for name in STEPS if STEPS[name].places]
)
def test_runs_that_are_killed_at_every_place_in_a_row_lose_nothing(
    making: Making, name: str, full: bool
) -> None:
    system = making(name)
    for place in STEPS[name].places if full else AMONG_MANY[name]:
        STEPS[name].prepare(system)
        die(system, name, place)
    STEPS[name].run(system)
    system.check_all()


@pytest.mark.parametrize("name", [_full(name, full=name != "load") for name in STEPS if STEPS[name].places])
def test_a_run_that_fails_leaves_nothing_half_visible_and_the_next_one_goes_on(
    making: Making, name: str, full: bool
) -> None:
    system = making(name)
    for place in STEPS[name].places if full else FAILING:
        STEPS[name].prepare(system)
        before = durable(system)
        with failing_at(place):
            failure = _failure(system, name)
        if place in TOLD:
            assert isinstance(failure, ReplicationError), repr(failure)
            assert failure.fix
            assert "No space left on device" in str(failure)
        check_promises(system, before)
    STEPS[name].run(system)
    system.check_all()


FAILING = ("store.file_finished", "load.finished")
"""Places of the short form: a file that cannot be written, and the moment before the commit."""

TOLD = ("store.file_finished", "store.files_finished", "compact.written")
"""Places in the writing of files. A failure at the others is made up: no file is touched there."""


def _failure(system: FaultySystem, name: str) -> BaseException | None:
    try:
        run_step(system, name)
    except (OSError, ReplicationError) as error:
        return error
    return None
