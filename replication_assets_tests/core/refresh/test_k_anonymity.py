"""k-anonymity: how small the groups of a copy's rows are."""

from collections import Counter

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.refresh.k_anonymity import Groups, groups_of

SCHEMA = pa.schema([("City", pa.string()), ("year", pa.int32()), ("n", pa.int64())])
rows = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 2)), max_size=25)


def _batches(found: list[tuple[str | None, int]]) -> list[pa.RecordBatch]:
    whole = [{"City": city, "year": year, "n": 1} for city, year in found]
    return [
        pa.RecordBatch.from_pylist(whole[start : start + 7], schema=SCHEMA)
        for start in range(0, len(whole), 7)
    ]


@given(rows)
@settings(max_examples=12, deadline=None)
def test_groups_are_counted_over_all_batches(found: list[tuple[str | None, int]]) -> None:
    counts = Counter(found).values()

    assert groups_of(_batches(found), ["City", "year"], 3) == Groups(
        rows=len(found),
        groups=len(counts),
        smallest=min(counts, default=None),
        k=3,
        rows_below=sum(count for count in counts if count < 3),
    )


def test_a_small_group_fails_only_where_a_least_size_is_declared() -> None:
    groups = Groups(rows=10, groups=3, smallest=1, k=5, rows_below=4)

    told = groups.proof("shop.public.customers", ["city", "born"], enforced=True)
    assert not told.passed
    assert told.what == (
        "shop.public.customers by city, born: the smallest of 3 groups has 1 rows; "
        "4 of 10 rows are in groups of fewer than 5"
    )
    assert groups.proof("shop.public.customers", ["city"], enforced=False).passed
    assert Groups(10, 2, 5, 5, 0).proof("t", ["city"], enforced=True).passed
