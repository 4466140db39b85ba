"""Growth with the commits of a store, as they are and compacted."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.event_sample import TABLE, Events, add, history, store_of
from benchmarks.growth_measure import Growth, spent
from benchmarks.measure.scale import Scale
from replication_assets.core.id_ranges import IdRanges
from replication_assets.event_store import DeltaEventStore
from replication_assets.flows.read import fold_range

KEYS, PER_COMMIT = 10_000, 20
IDS = IdRanges.whole()


def commits(scale: Scale, home: Path) -> Growth:
    """Of some events each, on top of one load."""
    sizes = (2, 4) if scale.short else (10, 100, 1_000)
    found = Growth("commits", "Commits in a store, plain and compacted", "commits", sizes)
    root = home / "commits"
    store, made = store_of(root, history(KEYS, KEYS, shuffled=False), IDS, loaded_keys=KEYS), 0
    for size in sizes:
        while made < size:
            _add(store, made)
            made += 1
        compacted = home / f"compacted{size}"
        shutil.copytree(root, compacted)
        tidy = DeltaEventStore(str(compacted))
        found.cost("compaction", spent(tidy.log(TABLE).compact, 1)[0])
        found.figure("files", len(store.log(TABLE).snapshot().files()))
        _measure(found, store, "plain", made)
        made += 3
        _measure(found, tidy, "compacted", made)
        shutil.rmtree(compacted)
    return found


def _measure(found: Growth, store: DeltaEventStore, kind: str, made: int) -> None:
    numbers = iter(range(made, made + 3))
    found.cost(f"open, {kind}", spent(lambda: store.log(TABLE).snapshot().controls())[0])
    found.cost(f"fold, {kind}", spent(partial(_fold, store))[0])
    found.cost(f"append, {kind}", spent(lambda: _add(store, next(numbers)))[0])


def _fold(store: DeltaEventStore) -> None:
    snapshot = store.log(TABLE).snapshot()
    for _ in fold_range(snapshot, TABLE, IDS.at(0)):
        pass


def _add(store: DeltaEventStore, number: int) -> None:
    ids = 1 + (number * PER_COMMIT + np.arange(PER_COMMIT)) * 7919 % KEYS
    events = Events(np.full(PER_COMMIT, "U"), ids, number * 100 + np.arange(PER_COMMIT))
    add(store, events, IDS)
