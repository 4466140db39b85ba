"""The lists are the ones that were pinned, large enough, and in an order that steps rely on."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from replication_assets.core.masking import pools
from replication_assets.core.masking.pools import Pool, addresses, pool
from replication_assets.errors import GuardError, PolicyError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "least"), [("first_names", 1000), ("last_names", 1000), ("companies", 1000), ("words", 150)]
)
def test_a_list_has_enough_entries_that_differ_in_more_than_case(name: pools.PoolName, least: int) -> None:
    entries = pool(name).entries
    assert len(entries) >= least
    assert len(pool(name).folded.unique()) == len(entries)
    assert pc.min(pc.binary_length(entries)).as_py() >= 2
    assert all(entry == entry.strip() and entry.encode("latin-1") for entry in entries.to_pylist())


def test_first_and_last_names_are_single_words_and_nobody_has_one_as_both() -> None:
    first, last = pool("first_names"), pool("last_names")
    for each in (first, last):
        assert not pc.any(pc.match_substring_regex(each.entries, r"\s")).as_py()
    assert not pc.any(pc.is_in(first.folded, value_set=last.folded)).as_py()


def test_neighbouring_addresses_differ_in_every_part_the_last_and_the_first_too() -> None:
    table = addresses()
    assert len(table) >= 2000
    following = table.take(pa.array([*range(1, len(table)), 0]))
    for part in table.column_names:
        here, there = (pc.utf8_lower(each.column(part)) for each in (table, following))
        assert not pc.any(pc.equal(here, there)).as_py(), part


def test_a_city_lies_in_one_region_and_a_region_in_one_country() -> None:
    for low, high in (("city", "region"), ("city", "country"), ("country", "code")):
        pairs = addresses().group_by([low, high]).aggregate([])
        assert len(pairs) == len(addresses().column(low).unique()), (low, high)


def test_a_list_that_was_changed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pools._DIGESTS, "words.txt", "0" * 32)
    with pytest.raises(GuardError, match=r"words\.txt is not the one"):
        pool.__wrapped__("words")


def test_the_lists_are_part_of_the_wheel() -> None:
    """Hatch takes every file of a package but those that git ignores."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["replication_assets"]}
    names = {each.name for each in files(pools.__name__).iterdir()}
    assert {*pools._DIGESTS} <= names
    assert not {"*.txt", "*.tsv"} & {*(ROOT / ".gitignore").read_text().split()}


def test_a_list_is_cut_to_what_a_column_holds_and_not_below_what_is_plausible() -> None:
    entries = Pool.of(pa.array([f"entry {number:05}" for number in range(49)] + ["much longer entry"] * 60))
    assert entries.fitting(None) is entries
    assert entries.fitting(17) is entries
    with pytest.raises(PolicyError, match="only 49 made-up values have at most 11 characters"):
        entries.fitting(11)
