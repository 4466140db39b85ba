"""Size plans: what would be copied, told before it is."""

import pytest

from replication_assets.core.refresh.size_plan import SizePlan, TableSize, Way
from replication_assets.errors import RefreshError

PLAN = SizePlan(
    (
        TableSize("shop.public.customers", 100_000, 1_000, (Way("to begin with", 1_000),)),
        TableSize(
            "shop.public.products",
            10_000,
            7_000,
            (Way("through order_lines.product_id", 6_800), Way("through products.replaced_by", 200)),
        ),
    )
)


def test_a_plan_is_a_table_of_aligned_columns_with_the_ways_of_each() -> None:
    text = PLAN.with_sizes({"shop.public.products": 10 * 2**20, "shop.public.customers": 0}).text()

    assert text.splitlines() == [
        "table                   rows       of  share  about",
        "shop.public.customers  1,000  100,000   1.0%    0 B",
        "                       1,000                         to begin with",
        "shop.public.products   7,000   10,000  70.0%  7 MiB",
        "                       6,800                         through order_lines.product_id",
        "                         200                         through products.replaced_by",
        "all                    8,000  110,000   7.3%  7 MiB",
    ]


def test_more_rows_than_allowed_are_refused_with_the_largest_first_and_the_way_they_came() -> None:
    PLAN.refuse(8_000)
    PLAN.refuse(None)

    with pytest.raises(RefreshError) as refused:
        PLAN.refuse(7_999)

    assert "8,000 rows would be copied, more than max_rows=7,999" in refused.value.what
    assert (
        "shop.public.products: 7,000 rows, 6,800 of them through order_lines.product_id" in refused.value.what
    )
    assert "limit `children`" in refused.value.fix


def test_tables_that_are_copied_whole_have_a_plan_too() -> None:
    plan = SizePlan.whole({"a.b.c": 3, "a.b.empty": 0})

    assert (plan.chosen, plan.total) == (3, 3)
    assert plan.text().splitlines()[2].split() == ["a.b.empty", "0", "0", "-", "-"]
