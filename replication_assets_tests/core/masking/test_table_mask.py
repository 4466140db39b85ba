"""What comes out of a table's mask has its columns, its types and its rows, and no raw value."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.events import UNCHANGED
from replication_assets.core.masking.batches import MaskedBatch, RawBatch
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.masker import Rows, Uniqueness
from replication_assets.core.masking.rules import (
    ColumnDefault,
    Constant,
    DateShift,
    Email,
    IntegerId,
    Null,
    PersonName,
    Token,
)
from replication_assets.core.masking.table_mask import ColumnMask, TableMask
from replication_assets.errors import GuardError
from replication_assets_tests.core.masking.policies import (
    BORN,
    EMAIL,
    ID,
    column,
    compiled,
    raw,
    structure_of,
)

BALANCE = column("balance", "numeric(10,2)")
TABLE = structure_of(
    ID, EMAIL, column("name"), BORN, column("note"), BALANCE, column("made", "bigint", default="0")
)
RULES: dict[str, Any] = {
    "id": IntegerId("id"),
    "email": Email(),
    "name": PersonName(),
    "born": DateShift(),
    "note": Null(),
    "balance": "public",
    "made": ColumnDefault(),
}
ADA = {
    "id": 7,
    "email": "Ada@Lovelace.example",
    "name": "Ada Lovelace",
    "born": dt.date(1815, 12, 10),
    "note": "an enchantress of number",
    "balance": Decimal("12.50"),
    "made": 3,
}
EVA = {**ADA, "id": 8, "email": " ada@lovelace.EXAMPLE", "name": None, "balance": None}


def masked(mask: TableMask, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mask.mask(raw(TABLE, rows)).reveal().to_pylist()
    return found


def test_only_columns_that_are_needed_are_read_and_only_staged_ones_come_out() -> None:
    mask = compiled(TABLE, RULES)
    assert mask.columns == ("id", "email", "name", "born", "balance")
    assert mask.schema.names == ["id", "email", "name", "born", "note", "balance", "_overflow"]
    narrow = RawBatch(raw(TABLE, [ADA]).reveal().select([*mask.columns, "_overflow"]))
    assert mask.mask(narrow).reveal().equals(mask.mask(raw(TABLE, [ADA])).reveal())


def test_every_row_is_masked_and_nothing_raw_is_left() -> None:
    mask = compiled(TABLE, RULES)
    one, other = masked(mask, [ADA, EVA])
    assert one["id"] != ADA["id"]
    assert one["email"].endswith("@masked.invalid")
    assert one["email"] == other["email"], "one identity"
    assert one["name"] not in (None, ADA["name"])
    assert other["name"] is None
    assert one["note"] is None
    assert one["balance"] == Decimal("12.50")
    assert 0 < abs((one["born"] - dt.date(1815, 12, 10)).days) <= 180
    assert mask.counts == {
        "id:IntegerId": 2,
        "email:Email": 2,
        "name:PersonName": 2,
        "born:DateShift": 2,
        "note:Null": 2,
        "balance:Keep": 2,
    }


def test_masks_are_the_same_again_and_other_ones_with_another_key() -> None:
    again = compiled(TABLE, RULES)
    assert masked(compiled(TABLE, RULES), [ADA, EVA]) == masked(again, [ADA, EVA])
    other = KeyRing(bytes(range(50, 82)), environment="qa", scope="qa")
    assert masked(compiled(TABLE, RULES, keys=other), [ADA])[0]["email"] != masked(again, [ADA])[0]["email"]


def test_no_rows_are_no_rows() -> None:
    mask = compiled(TABLE, RULES)
    out = mask.mask(raw(TABLE, [])).reveal()
    assert (out.num_rows, out.schema) == (0, mask.schema)
    assert mask.fits(out) == ()


def test_a_table_of_which_nothing_is_read_keeps_its_number_of_rows() -> None:
    structure = structure_of(column("note"), key=())
    mask = compiled(structure, {"note": Constant("x")})
    assert mask.columns == ()
    batch = pa.RecordBatch.from_pydict({"_overflow": pa.nulls(3, pa.string())})
    assert mask.mask(RawBatch(batch)).reveal().column("note").to_pylist() == ["x"] * 3


# --- odd values ------------------------------------------------------------------------


def test_odd_values_of_kept_columns_stay_and_those_of_masked_ones_are_dropped() -> None:
    odd = '{"born":"infinity","balance":"NaN"}'
    row = {**ADA, "born": None, "balance": None, "_overflow": odd}
    mask = compiled(TABLE, RULES)
    (found,) = masked(mask, [row])
    assert found["_overflow"] == '{"balance":"NaN"}'
    assert found["born"] is None
    assert mask.counts["born:odd values nulled"] == 1
    assert "balance:odd values nulled" not in mask.counts


def test_an_odd_value_of_a_masked_column_that_is_not_null_is_refused() -> None:
    structure = structure_of(
        ID, column("born", "date", nullable=False), column("paid", "date", nullable=False)
    )
    mask = compiled(structure, {"id": "public", "born": DateShift(), "paid": "public"})
    rows = [{"id": 1, "born": None, "paid": dt.date(2020, 1, 1), "_overflow": '{"born":"infinity"}'}]
    with pytest.raises(GuardError, match=r"shop.public.customers.born: 1 rows would be NULL .* odd values"):
        mask.mask(raw(structure, rows))
    kept = [{"id": 1, "born": dt.date(1990, 1, 1), "paid": None, "_overflow": '{"paid":"infinity"}'}]
    assert mask.mask(raw(structure, kept)).reveal().column("_overflow").to_pylist() == ['{"paid":"infinity"}']


@pytest.mark.parametrize("odd", ["s3cret", "[1]", '{"born":1}', '{"other_table":"s3cret"}'])
def test_odd_values_that_cannot_be_read_are_refused_untold(odd: str) -> None:
    with pytest.raises(GuardError) as raised:
        compiled(TABLE, RULES).mask(raw(TABLE, [{**ADA, "_overflow": odd}]))
    assert "s3cret" not in str(raised.value)


# --- keys of deletes -------------------------------------------------------------------


def test_keys_of_deletes_are_masked_like_those_of_rows_and_nothing_else_comes_out() -> None:
    mask = compiled(TABLE, RULES)
    (row,) = masked(mask, [ADA])
    (key,) = mask.mask_keys(raw(TABLE, [ADA])).reveal().to_pylist()
    assert key == {**dict.fromkeys(mask.schema.names), "id": row["id"]}
    alone = RawBatch(raw(TABLE, [ADA]).reveal().select(["id", "_overflow"]))
    assert mask.mask_keys(alone).reveal().to_pylist() == [key]
    assert mask.counts == {"id:IntegerId": 1}


def test_odd_values_beside_a_deleted_key_do_not_come_out() -> None:
    mask = compiled(TABLE, RULES)
    (key,) = mask.mask_keys(raw(TABLE, [{**ADA, "_overflow": '{"balance":"NaN"}'}])).reveal().to_pylist()
    assert key["_overflow"] is None


def test_a_key_whose_rule_needs_more_than_the_key_is_told_before_and_refused_after() -> None:
    made = column("made", "bigint", nullable=False, default="0")
    dated = structure_of(ID, column("day", "date", nullable=False), made, key=("id", "day"))
    mask = compiled(dated, {"id": "public", "day": DateShift(entity="made"), "made": "public"})
    (problem,) = mask.key_problems()
    assert problem.startswith(
        "shop.public.customers.day: it is part of the key, and its rule DateShift needs"
    )
    with pytest.raises(GuardError, match="needs more than the key"):
        mask.mask_keys(raw(dated, [{"id": 1, "day": dt.date(2020, 1, 1), "made": 1}]))
    assert compiled(TABLE, RULES).key_problems() == ()


def test_deletes_of_a_table_without_a_key_are_masked_whole() -> None:
    structure = structure_of(ID, EMAIL, key=())
    mask = compiled(structure, {"id": "public", "email": Email()})
    rows = raw(structure, [{"id": 1, "email": "a@b.c"}])
    assert mask.mask_keys(rows).reveal().equals(mask.mask(rows).reveal())


# --- proofs ----------------------------------------------------------------------------


def test_what_the_mask_made_fits_and_what_is_raw_does_not() -> None:
    mask = compiled(TABLE, RULES)
    assert mask.fits(mask.mask(raw(TABLE, [ADA, EVA])).reveal()) == ()
    schema = mask.schema
    planted = pa.RecordBatch.from_pylist([{name: ADA.get(name) for name in schema.names}] * 2, schema=schema)
    found = mask.fits(planted)
    assert found == (
        "shop.public.customers.email: 2 values that Email cannot have made",
        "shop.public.customers.name: 2 values that PersonName cannot have made",
        "shop.public.customers.note: 2 values that Null cannot have made",
    )


def test_other_columns_or_odd_values_of_masked_ones_do_not_fit() -> None:
    mask = compiled(TABLE, RULES)
    out = mask.mask(raw(TABLE, [ADA])).reveal()
    assert mask.fits(out.select(out.schema.names[:-1])) == (
        "shop.public.customers: its columns are not the staged ones",
    )
    leak = out.set_column(out.num_columns - 1, "_overflow", pa.array(['{"born":"infinity"}']))
    assert mask.fits(leak) == ("shop.public.customers: 1 odd values of columns that are masked",)


def test_rows_that_have_their_own_value_are_counted_by_column() -> None:
    mask = compiled(TABLE, RULES)
    before = raw(TABLE, [ADA, EVA])
    assert mask.unequal(before, mask.mask(before)) == {"email": 0, "name": 0, "born": 0}
    columns = {name: before.reveal().column(name) for name in mask.schema.names}
    unmasked = MaskedBatch(pa.RecordBatch.from_pydict(columns))
    assert mask.unequal(before, unmasked) == {"email": 2, "name": 1, "born": 2}
    with pytest.raises(GuardError, match="not aligned"):
        mask.unequal(before, mask.mask(raw(TABLE, [ADA])))


# --- what is refused -------------------------------------------------------------------


def test_rows_that_changed_shape_since_the_mask_was_compiled_are_refused() -> None:
    mask = compiled(TABLE, RULES)
    batch = raw(TABLE, [ADA]).reveal()
    lacking = batch.select([name for name in batch.schema.names if name != "email"])
    retyped = batch.set_column(1, "email", pa.array([b"x"]))
    for each in (lacking, retyped):
        with pytest.raises(GuardError, match=r"shop.public.customers.email: the rows lack it"):
            mask.mask(RawBatch(each))
    with pytest.raises(GuardError, match="_overflow"):
        mask.mask(RawBatch(batch.select(list(mask.columns))))


def test_rows_that_came_without_some_of_their_values_are_refused() -> None:
    batch = raw(TABLE, [ADA]).reveal().append_column(UNCHANGED, pa.array([["email"]]))
    with pytest.raises(GuardError, match="without values that did not change"):
        compiled(TABLE, RULES).mask(RawBatch(batch))


@pytest.mark.parametrize("wrong", [MaskedBatch, lambda batch: batch])
def test_only_raw_batches_are_masked(wrong: Any) -> None:
    with pytest.raises(GuardError, match="is not masked"):
        compiled(TABLE, RULES).mask(wrong(raw(TABLE, [ADA]).reveal()))


class _Broken:
    """A masker that goes wrong in every way it is told to."""

    uniqueness: Uniqueness = "preserved"
    reads = ("email",)
    draws_by_row = False

    def __init__(self, result: Any) -> None:
        self.result = result

    def mask(self, rows: Rows) -> pa.Array:
        if isinstance(self.result, Exception):
            raise self.result
        if callable(self.result):
            return self.result(rows)
        return self.result

    def fits(self, values: pa.Array) -> pa.Array:
        return self.mask(Rows(pa.RecordBatch.from_pydict({"email": values}), ()))


def with_broken(result: Any) -> TableMask:
    structure = structure_of(ID, EMAIL)
    good = compiled(structure, {"id": "public", "email": Token("t")})
    masks = [copy.copy(each) for each in good._masks]
    masks[1] = ColumnMask(masks[1].column, Token("t"), _Broken(result))
    stored = {"id": pa.int64(), "email": pa.string()}
    return TableMask(good.table, good.schema, masks, row_key=["id"], key=["id"], stored=stored)


@pytest.mark.parametrize(
    "result",
    [
        ValueError("ada@lovelace.example"),
        pa.ArrowInvalid("ada@lovelace.example"),
        KeyError("ada@lovelace.example"),
        GuardError("3 values cannot be masked"),
        pa.array([1]),
        pa.array(["x", "y"]),
        pa.chunked_array([["x"]]),
        "ada@lovelace.example",
        lambda rows: rows.column("id"),
    ],
)
def test_a_masker_that_fails_lets_nothing_through_and_quotes_nothing(result: Any) -> None:
    mask = with_broken(result)
    batch = raw(structure_of(ID, EMAIL), [{"id": 1, "email": "ada@lovelace.example"}])
    with pytest.raises(GuardError) as raised:
        mask.mask(batch)
    assert str(raised.value).startswith("shop.public.customers.email: ")
    assert "lovelace" not in str(raised.value)
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_a_proof_that_does_not_answer_counts_as_no() -> None:
    out = pa.RecordBatch.from_pydict(
        {"id": [1, 2], "email": ["a", "b"], "_overflow": pa.nulls(2, pa.string())}
    )
    for answer in (pa.array([True]), pa.nulls(2, pa.bool_()), pa.array([1, 1]), pa.array([True, False])):
        assert len(with_broken(answer).fits(out)) == 1
    assert with_broken(pa.array([True, True])).fits(out) == ()


def test_rules_that_are_not_those_of_the_columns_are_refused() -> None:
    good = compiled(TABLE, RULES)
    with pytest.raises(GuardError, match="not those of its columns"):
        TableMask("t", good.schema, good._masks[:-1], row_key=(), key=(), stored={})


def test_neither_rows_nor_masks_show_themselves() -> None:
    mask = compiled(TABLE, RULES)
    batch = raw(TABLE, [ADA])
    assert "Ada" not in f"{batch!r}{mask!r}{mask.mask(batch)!r}"
    for each in (batch, mask.mask(batch)):
        with pytest.raises(GuardError):
            pickle.dumps(each)


# --- any rows --------------------------------------------------------------------------

_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(1, 2**31 - 1),
            "email": st.none() | st.text(max_size=12),
            "name": st.none() | st.text(max_size=12),
            "born": st.none() | st.dates(dt.date(1000, 1, 1), dt.date(9000, 1, 1)),
            "note": st.none() | st.text(max_size=5),
        }
    ),
    max_size=20,
    unique_by=lambda row: row["id"],
)


@settings(max_examples=60, deadline=None)
@given(_ROWS)
def test_whatever_the_rows_are_the_output_fits_is_unequal_and_does_not_depend_on_the_batch(
    rows: list[dict[str, Any]],
) -> None:
    mask = compiled(TABLE, RULES)
    before = raw(TABLE, rows)
    out = mask.mask(before)
    assert mask.fits(out.reveal()) == ()
    assert set(mask.unequal(before, out).values()) <= {0}
    assert len(set(out.reveal().column("id").to_pylist())) == len(rows), "unique stays unique"
    one_by_one = [mask.mask(raw(TABLE, [row])).reveal().to_pylist()[0] for row in rows]
    assert out.reveal().to_pylist() == one_by_one
