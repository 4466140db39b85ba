"""Tables and columns: folders that cannot escape or collide, fields that read back."""

from __future__ import annotations

from pathlib import PurePosixPath

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.schema import Column, TableId, TableSchema, column_of, field_of

names = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    | st.text("a.%/\\~ 2eE", min_size=1, max_size=5)
    | st.sampled_from(["..", ".", "../../x", "a/b", "%2e", "%2E", 'a"; DROP', "a\x00b", "é" * 60])
)
tables = st.builds(TableId, names, names, names)


@given(tables)
def test_no_name_leaves_its_folder(table: TableId) -> None:
    parts = PurePosixPath(table.folder).parts
    assert len(parts) == 2
    assert not {"..", ".", "/"} & set(parts)
    assert all(
        letter.isascii() and (letter.isalnum() or letter in "_-%.") for part in parts for letter in part
    )
    assert parts[1].count(".") == 1


@given(tables, tables)
def test_two_tables_never_share_a_folder(one: TableId, other: TableId) -> None:
    assert (one == other) == (one.folder == other.folder)


def test_dots_in_names_stay_apart_from_the_dot_between_them() -> None:
    assert TableId("s", "a.b", "c").folder != TableId("s", "a", "b.c").folder
    assert TableId("shop", "public", "orders").folder == "shop/public.orders"


@given(names, names, st.none() | st.integers(1, 1600))
def test_a_column_is_read_back_from_its_stored_field(
    name: str, source_type: str, ordinal: int | None
) -> None:
    column = Column(name, source_type, pa.decimal128(18, 2), nullable=True, ordinal=ordinal)
    assert column_of(field_of(column)) == column


def test_stored_columns_are_nullable_whatever_the_source_says() -> None:
    schema = TableSchema((Column("id", "bigint", pa.int64(), nullable=False),), key=("id",))
    assert schema.arrow_schema().field("id").nullable
    assert schema.column("id").arrow == pa.int64()


def test_a_key_that_is_not_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="nope"):
        TableSchema((Column("id", "bigint", pa.int64()),), key=("id", "nope"))
    with pytest.raises(KeyError):
        TableSchema((Column("id", "bigint", pa.int64()),)).column("nope")
