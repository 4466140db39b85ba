"""Events in any order, repeated, by several writers, through faults: the items equal the fold."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from replication_assets.core.changes import RangeChanges
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.dynamodb.conversion import together
from replication_assets.targets.dynamodb.range_writer import OLDER, RangeWriter
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    A,
    Row,
    apply,
    at,
    changes,
    fill,
    holds,
    row,
)
from replication_assets_tests.dynamodb_servers import DynamoDbServer
from replication_assets_tests.targets.dynamodb.faulty_proxy import Faults, faulty_proxy
from replication_assets_tests.targets.dynamodb.places import DynamoDbPlace

MANY, FEW = 100_000, 6_000
EVENTS_PER_PIECE = 1_000
WRITERS = 3
FAULTS = Faults(
    throttled=0.05,
    unprocessed=0.3,
    failed=0.02,
    failed_after=0.02,
    reset_before=0.02,
    reset_after=0.02,
    slow=0.01,
)
Event = tuple[str, Row]
END = at(MANY + 10)


def history(events_made: int, keys: int, seed: int) -> tuple[list[Row], list[Event], dict[int, Row]]:
    """Loaded rows, what happened to them, and the rows that are left in the end."""
    chance = random.Random(seed)
    untouched = range(keys, keys + 300)
    loaded: list[Row] = [row(at(5), id=key, name="loaded") for key in (*range(0, keys, 2), *untouched)]
    rows: dict[int, Row] = {each["id"]: each for each in loaded}
    events: list[Event] = []
    for number in range(events_made):
        key, position = chance.randrange(keys), at(6 + number // 10, 1 + number % 10)
        if key in rows and chance.random() < 0.4:
            del rows[key]
            events.append(("D", row(position, id=key)))
        else:
            rows[key] = row(position, id=key, name=f"{number}", big="é" * chance.randrange(40))
            events.append(("U", rows[key]))
    return loaded, events, rows


def net(piece: Sequence[Event]) -> RangeChanges:
    """The newest event of each key in the piece."""
    newest: dict[int, Event] = {}
    for operation, each in piece:
        known = newest.get(each["id"])
        if known is None or _place(known[1]) < _place(each):
            newest[each["id"]] = (operation, each)
    upserts = [each for operation, each in newest.values() if operation == "U"]
    return changes(upserts, [each for operation, each in newest.values() if operation == "D"])


def _place(each: Row) -> tuple[int, int]:
    return each["_commit_position"], each["_sequence"]


def write(place: DynamoDbPlace, these: RangeChanges) -> int:
    """Send the writes of some changes, as a run does that will be too late for the checkpoint.
    Returns how many were stale."""
    target = place.target
    conversion = target._conversion(ItemMapping(place.items, KEYED), A)
    prepared = conversion.rows(these.upserts)
    graves = conversion.graves(these, prepared, END, A)
    writes = together(prepared, graves, distinct=True)
    writer = RangeWriter(target._data, conversion)
    writer.put(prepared, writes, writes["register"], OLDER)
    return writer.counts.stale


# moto takes some hundred writes a second: there the same events happen to fewer rows, so that
# more of them fall together in a piece.
@pytest.mark.parametrize(
    ("dynamodb", "keys", "made"),
    [
        ("dynamodb_local", 40, FEW),
        pytest.param("moto_dynamodb", 40, MANY, marks=pytest.mark.full),
        pytest.param("dynamodb_local", 200, MANY, marks=pytest.mark.full),
    ],
    indirect=["dynamodb"],
)
def test_events_in_any_order_and_repeated_equal_the_fold(
    dynamodb: DynamoDbServer, keys: int, made: int
) -> None:
    loaded, events, rows = history(made, keys, seed=3)
    chance = random.Random(4)
    shuffled = chance.sample(events, len(events))
    pieces = [shuffled[at_ : at_ + EVENTS_PER_PIECE] for at_ in range(0, made, EVENTS_PER_PIECE)]
    pieces += chance.sample(pieces, len(pieces) // 3)
    chance.shuffle(pieces)
    with faulty_proxy(dynamodb.endpoint_url, FAULTS, seed=5) as proxy:
        place = DynamoDbPlace(dynamodb, endpoint_url=proxy.endpoint_url)
        fill(place.target, loaded, at(5))
        writers = [place.rival(endpoint_url=proxy.endpoint_url) for _ in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            sent = [
                pool.submit(write, writers[number % WRITERS], net(piece))
                for number, piece in enumerate(pieces)
            ]
            stale = sum(each.result() for each in sent)
        holds(place, list(rows.values()))
        # Whoever comes next finds all of it done, and counts what is there.
        assert apply(place.target, net(events), END) == RangeCheckpoint(BASELINE, END, len(rows))
        holds(place, list(rows.values()))
    assert stale > 0
    injected = {"throttled", "unprocessed", "failed", "failed_after", "reset_before", "reset_after", "slow"}
    assert set(proxy.injected) == injected if made == MANY else proxy.injected
