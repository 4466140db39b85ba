"""Random histories: writers that write, loads in any order, captures that are killed at any moment."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from replication_assets.catalog import ByBounds, Table
from replication_assets_tests.e2e.random_writers import CREATE, KEYS, value, writing
from replication_assets_tests.e2e.system import System, audit, check_changes, shuffled, system_of
from replication_assets_tests.e2e.workers import capture_until_step, kill, load_in_parallel, start
from replication_assets_tests.postgres_servers import FreshDatabase

SEEDS = range(int(os.environ.get("E2E_FIRST_SEED", "1")), 1 + int(os.environ.get("E2E_SEEDS", "2")))


@pytest.fixture(params=["log", "triggers"])
def system(database: FreshDatabase, tmp_path: Path, full: bool, request: pytest.FixtureRequest) -> System:
    bounds = ByBounds((-50, 0, 100, 250) if full else (100,))
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=bounds)], capture=request.param)
    made.execute(CREATE)
    made.prepare()
    audit(made, "t")
    return made


def fill(system: System, random: Random) -> None:
    with system.sql() as session, session.cursor() as cursor:
        rows = [(i, 0, value(random), "first") for i in range(-KEYS // 2, KEYS, 2)]
        cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s)", rows)


@pytest.mark.parametrize(
    "seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.full) for seed in SEEDS[1:])]
)
def test_store_and_projection_equal_the_source(system: System, tmp_path: Path, seed: int, full: bool) -> None:
    random, kills = Random(seed), 3 if full else 1
    fill(system, random)
    never = tmp_path / "never"
    table = system.table("t")
    with writing(system, seed):
        capture = start(capture_until_step, system, never, 0.1)
        loads = shuffled(random, [(table.id, each) for each in system.ranges(table)])
        load_in_parallel(system, loads[: len(loads) // 2])
        for turn in range(kills):
            time.sleep(random.uniform(0.1, 1.0))
            kill(capture)
            capture = start(capture_until_step, system, never, random.choice([0.05, 0.5]))
            if turn == 0:
                load_in_parallel(system, loads[len(loads) // 2 :])
                system.project()
        time.sleep(random.uniform(0.3, 1.0))
        kill(capture)
    system.finish()
    check_changes(system, table.id)
