"""Errors cross process boundaries whole, and say what, where and how to mend it."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from replication_assets import errors
from replication_assets.errors import CatalogError, CommitConflict, PolicyError, ReplicationError, SlotLost


def tree(kind: type[ReplicationError]) -> list[type[ReplicationError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]


PLAIN = [kind for kind in tree(ReplicationError) if kind not in (CatalogError, PolicyError)]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling_and_copying(kind: type[ReplicationError]) -> None:
    error = kind("it broke", where="shop.public.orders", fix="mend it")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.what, twin.where, twin.fix) == ("it broke", "shop.public.orders", "mend it")
        assert str(twin) == str(error) == "shop.public.orders: it broke. Fix: mend it"
        assert twin.retryable == error.retryable


@pytest.mark.parametrize("kind", [CatalogError, PolicyError])
def test_a_list_of_problems_survives_pickling(kind: type[CatalogError | PolicyError]) -> None:
    error = kind(["one", "two"], where="catalog.py")
    twin = pickle.loads(pickle.dumps(error))
    assert str(twin) == str(error) == "catalog.py: 2 problems:\n  - one\n  - two"
    assert twin.problems == ("one", "two")


def raise_slot_lost() -> None:
    raise SlotLost("the log is gone", where="shop", fix="load again")


def test_an_error_of_another_process_arrives_whole() -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool, pytest.raises(SlotLost) as raised:
        pool.submit(raise_slot_lost).result(timeout=60)
    assert raised.value.fix == "load again"


def test_only_what_a_retry_can_help_is_retryable() -> None:
    retryable = {kind.__name__ for kind in tree(ReplicationError) if kind.retryable}
    assert retryable == {
        "SourceUnavailable",
        "LoadBlocked",
        "SlotBusy",
        "CommitConflict",
        "TargetUnavailable",
        "DeliveryError",
        "RefreshInProgress",
    }
    assert CommitConflict("x").retryable


def test_every_error_of_the_tree_is_in_the_modules_docstring() -> None:
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in tree(ReplicationError) if kind.__name__ not in errors.__doc__] == []
