"""People, companies and addresses are made up, coherent, and never the input's own."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.families.people import BUILDERS
from replication_assets.core.masking.pools import Pool, addresses, pool
from replication_assets.core.masking.rules import Address, Company, PersonName, Rule
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import (
    OTHER_KEYS,
    column_of,
    compiled,
    equal_for_equal,
    masked,
    rows_of,
)

TEXT = column_of(pa.string())
FIRST, LAST = pool("first_names").entries.to_pylist(), pool("last_names").entries.to_pylist()
RULES: list[Any] = [
    PersonName("full"),
    PersonName("full", by="value"),
    PersonName("first"),
    PersonName("last", by="value"),
    Company(),
    Company(by="value"),
    Address("city"),
    Address("line", by="value"),
]


def spellings(entries: list[str]) -> st.SearchStrategy[str]:
    """Entries as people type them."""
    changes = [str, str.upper, str.lower, lambda text: f" {text}\t", lambda text: f"\u00a0{text}"]
    return st.builds(lambda text, change: change(text), st.sampled_from(entries), st.sampled_from(changes))


PARTS = spellings([*FIRST[:40], *LAST[:40]])
FULL = st.builds(lambda first, last: f"{first} {last}", PARTS, PARTS)
TEXTS = st.lists(st.none() | FULL | PARTS | st.text(max_size=20), max_size=60)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@settings(max_examples=25)
@given(values=TEXTS)
def test_made_up_values_keep_every_promise_of_a_rule(rule: Rule, values: list[str | None]) -> None:
    array = pa.array(values, pa.string())
    result = masked(compiled(BUILDERS, rule, TEXT), array)
    if rule.by == "value":
        assert equal_for_equal(array, result)
    for value, name in zip(values, result.to_pylist(), strict=True):
        if value is not None:
            assert name.lower() != value.strip().lower()
            if isinstance(rule, PersonName):
                assert not {*name.lower().split()} & {*value.lower().split()}


@pytest.mark.parametrize(("part", "entries"), [("first", FIRST), ("last", LAST)])
def test_nobody_is_given_their_own_name_however_it_is_written(part: Any, entries: list[str]) -> None:
    """Every entry of the list at many rows: each row draws its own somewhere."""
    few = pa.array(entries[:1]).take(pa.array([0] * 20_000))
    for values in (few, pc.utf8_upper(few), pc.binary_join_element_wise(" ", few, " X", "")):
        result = compiled(BUILDERS, PersonName(part), TEXT).mask(rows_of(it=values))
        assert entries[0] not in result.to_pylist()
        assert len(result.unique()) == len(entries) - 1


def test_letters_beyond_ascii_are_compared_in_both_cases() -> None:
    entries = [name for name in FIRST if not name[:2].isascii()]
    assert entries
    for name in entries:
        values = pa.array([name.upper()] * 8_000)
        result = compiled(BUILDERS, PersonName("first"), TEXT).mask(rows_of(it=values))
        assert name not in result.to_pylist()


def test_a_row_has_one_person_whatever_its_columns_are_called() -> None:
    names = {"first": PersonName("first"), "last": PersonName("last"), "name": PersonName("full")}
    rows = rows_of(**{name: pa.array(["Zq Zw"] * 500) for name in names})
    first, last, full = (
        compiled(BUILDERS, rule, column_of(pa.string(), name)).mask(rows) for name, rule in names.items()
    )
    assert pc.binary_join_element_wise(first, last, " ").equals(full)
    other = PersonName("first", namespace="partner")
    assert not compiled(BUILDERS, other, column_of(pa.string(), "first")).mask(rows).equals(first)


def test_another_key_gives_other_people() -> None:
    values = pa.array(["a"] * 100)
    rows = rows_of(it=values)
    with_keys = compiled(BUILDERS, PersonName(), TEXT).mask(rows)
    with_others = compiled(BUILDERS, PersonName(), TEXT, keys=OTHER_KEYS).mask(rows)
    assert pc.sum(pc.equal(with_keys, with_others)).as_py() < 5


GROUP: dict[str, Rule] = {
    "street": Address("street"),
    "town": Address("city"),
    "zip": Address("postcode"),
    "land": Address("country"),
}


def group_masks(rows: Any, **longest: int) -> pa.Table:
    columns = {name: column_of(pa.string(), name, longest=longest.get(name)) for name in GROUP}
    return pa.table(
        {
            name: compiled(BUILDERS, rule, columns[name], *columns.values(), rules=GROUP).mask(rows)
            for name, rule in GROUP.items()
        }
    )


def made_up(part: str = "country") -> set[tuple[str, ...]]:
    parts = ["street", "city", "postcode", part]
    return {tuple(row.values()) for row in addresses().select(parts).to_pylist()}


def test_the_parts_of_a_group_are_of_one_address_and_none_is_the_inputs_own() -> None:
    """All inputs are real addresses of the list: about one row in eight draws its own country."""
    inputs = pa.concat_tables([addresses()] * 2)
    taken = {"street": "street", "town": "city", "zip": "postcode", "land": "country"}
    rows = rows_of(**{name: inputs.column(part).combine_chunks() for name, part in taken.items()})
    result = group_masks(rows)
    assert {tuple(row.values()) for row in result.to_pylist()} <= made_up()
    for name in GROUP:
        assert not pc.any(pc.equal(result.column(name), rows.column(name))).as_py()


def test_an_address_is_cut_from_the_list_so_that_every_column_holds_its_part() -> None:
    rows = rows_of(**{name: pa.array(["x"] * 1000) for name in GROUP})
    result = group_masks(rows, zip=5, land=2)
    assert {tuple(row.values()) for row in result.to_pylist()} <= made_up("code")
    assert pc.max(pc.utf8_length(result.column("zip"))).as_py() <= 5


def test_two_groups_in_a_row_are_two_addresses() -> None:
    rows = rows_of(it=pa.array(["x"] * 100))
    home = compiled(BUILDERS, Address("city"), TEXT).mask(rows)
    work = compiled(BUILDERS, Address("city", group="work"), TEXT).mask(rows)
    assert pc.sum(pc.equal(home, work)).as_py() < 5


@pytest.mark.parametrize("rule", [PersonName(), PersonName("last"), Company(), Address("street")], ids=repr)
def test_values_are_never_longer_than_the_column(rule: Rule) -> None:
    result = masked(compiled(BUILDERS, rule, column_of(pa.string(), longest=17)), pa.array(["x"] * 2000))
    assert pc.max(pc.utf8_length(result)).as_py() <= 17


def test_the_raw_names_of_people_do_not_fit() -> None:
    raw = pa.array(["Ada Lovelace", f"{FIRST[0]}", f"{FIRST[0]} {LAST[0]} {LAST[1]}", "", " ", None])
    assert compiled(BUILDERS, PersonName(), TEXT).fits(raw).to_pylist() == [False] * 5 + [None]
    towns = pa.array(["Springfield", "somewhere", None])
    assert compiled(BUILDERS, Address("city"), TEXT).fits(towns).to_pylist() == [False, False, None]


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        (PersonName(), column_of(pa.string(), longest=5)),
        (Company(), column_of(pa.string(), longest=4)),
        (Address("line"), column_of(pa.string(), longest=10)),
        (PersonName(), column_of(pa.int64())),
        (PersonName(), column_of(pa.string(), type="uuid")),
        (Company(), column_of(pa.string(), type="mood", labels=("sad", "ok"))),
        (Address("planet"), TEXT),  # type: ignore[arg-type]
        (PersonName("middle"), TEXT),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_a_column_that_cannot_take_the_values_is_refused(rule: Rule, column: Any) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, rule, column)


def test_a_row_whose_own_every_value_is_stops_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    only = Pool.of(pa.array(["Xy"]))
    monkeypatch.setattr("replication_assets.core.masking.families.people.pool", lambda _: only)
    masker = compiled(BUILDERS, PersonName("first"), TEXT)
    with pytest.raises(GuardError, match="1 rows find no made-up value") as refused:
        masker.mask(rows_of(it=pa.array(["xy", "b"])))
    assert "xy" not in str(refused.value).lower()
