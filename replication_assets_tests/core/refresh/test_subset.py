"""Subsets: no reference points at a row that is not there, and nothing is there without a reason."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.prf import Prf
from replication_assets.core.refresh.references import SubsetRules
from replication_assets.core.refresh.subset import Subset, choose
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill
from replication_assets.core.structure import ColumnStructure, ForeignKey, TableStructure, UniqueKey
from replication_assets.errors import GuardError, RefreshError

PRF = Prf(b"the key of tests")
SPILL = Spill(memory_mib=256, threads=1)
BATCH_ROWS = 120


@dataclass(frozen=True)
class Sample:
    """Tables with their rows."""

    structures: tuple[TableStructure, ...]
    rows: Mapping[str, pa.Table]

    def read(self, table: TableId, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        yield from (
            self.rows[table.name]
            .select(list(columns))
            .to_batches(max(BATCH_ROWS, self.rows[table.name].num_rows // 3))
        )

    def matching(self, table: TableId, condition: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        column, _, value = condition.partition(" = ")
        rows = self.rows[table.name]
        found = rows.filter(pa.compute.equal(rows.column(column), int(value)))
        yield from found.select(list(columns)).to_batches(BATCH_ROWS)

    def choose(self, rules: SubsetRules, *, max_rows: int | None = None) -> Subset:
        return choose(self.structures, rules, PRF, self.read, self.matching, max_rows=max_rows, spill=SPILL)

    def chosen(self, subset: Subset) -> dict[str, list[dict[str, object]]]:
        return {
            table.table.name: [
                row
                for batch in self.rows[table.table.name].to_batches(BATCH_ROWS)
                for row in subset.filter(table.table, batch).to_pylist()
            ]
            for table in self.structures
        }


def _id(name: str) -> TableId:
    return TableId("shop", "public", name)


def _table(
    name: str,
    columns: Mapping[str, str],
    *,
    key: Sequence[str] = ("id",),
    unique: Sequence[str] = (),
    refers: Mapping[tuple[str, ...], tuple[str, tuple[str, ...]]] | None = None,
) -> TableStructure:
    return TableStructure(
        _id(name),
        "postgresql",
        tuple(ColumnStructure(column, kind) for column, kind in columns.items()),
        primary_key=UniqueKey(f"{name}_pkey", tuple(key)) if key else None,
        unique_keys=(UniqueKey(f"{name}_unique", tuple(unique)),) if unique else (),
        foreign_keys=tuple(
            ForeignKey(f"{name}_{'_'.join(columns)}_fkey", columns, _id(parent), referred)
            for columns, (parent, referred) in (refers or {}).items()
        ),
    )


def _violations(sample: Sample, chosen: Mapping[str, list[dict[str, object]]]) -> int:
    """References of chosen rows that point at no chosen row."""
    found = 0
    for table in sample.structures:
        for key in table.foreign_keys:
            there = {tuple(row[name] for name in key.referred) for row in chosen[key.parent.name]}
            for row in chosen[table.table.name]:
                wanted = tuple(row[name] for name in key.columns)
                found += None not in wanted and wanted not in there
    return found


def _random(seed: int, tables: int, rows: int, references: int) -> Sample:
    """Each table has a key of two columns and a unique code; references go anywhere, to either."""
    draw = np.random.default_rng(seed)
    structures, held = [], {}
    for number in range(tables):
        columns = {"a": "integer", "b": "text", "code": "bigint"}
        values: dict[str, pa.Array] = {
            "a": pa.array(np.arange(rows) % 7, pa.int32()),
            "b": pa.array([f"Part {each // 7}" for each in range(rows)]),
            "code": pa.array(np.arange(rows) * 3 + number, pa.int64()),
        }
        refers: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
        for each in range(int(draw.integers(0, references + 1))):
            parent = int(draw.integers(0, tables))
            to, null = draw.integers(0, rows, rows), draw.random(rows) < 0.4
            if draw.random() < 0.5:
                refers[(f"code_{each}",)] = (f"t{parent}", ("code",))
                values[f"code_{each}"] = pa.array((to * 3 + parent).astype("i4"), pa.int32(), mask=null)
            else:
                refers[(f"b_{each}", f"a_{each}")] = (f"t{parent}", ("b", "a"))
                values[f"b_{each}"] = pa.array([f"Part {row // 7}" for row in to], mask=null)
                values[f"a_{each}"] = pa.array(to % 7, pa.int64(), mask=draw.random(rows) < 0.1)
        columns |= {name: "integer" for name in values if name not in columns}
        structures.append(_table(f"t{number}", columns, key=("a", "b"), unique=("code",), refers=refers))
        held[f"t{number}"] = pa.table(values)
    return Sample(tuple(structures), held)


def _naive(sample: Sample, begun: Mapping[str, set[int]]) -> dict[str, set[int]]:
    """Row numbers that a subset without children must have, one by one."""
    rows = {name: table.to_pylist() for name, table in sample.rows.items()}
    chosen = {name: set(begun.get(name, ())) for name in rows}
    waiting = [(name, number) for name, numbers in chosen.items() for number in numbers]
    while waiting:
        name, number = waiting.pop()
        table = next(each for each in sample.structures if each.table.name == name)
        for key in table.foreign_keys:
            wanted = tuple(rows[name][number][column] for column in key.columns)
            if None in wanted:
                continue
            for place, row in enumerate(rows[key.parent.name]):
                same = tuple(row[column] for column in key.referred) == wanted
                if same and place not in chosen[key.parent.name]:
                    chosen[key.parent.name].add(place)
                    waiting.append((key.parent.name, place))
    return chosen


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_a_subset_of_any_tables_is_what_it_begins_with_and_all_that_it_refers_to(
    seed: int, tables: int, references: int
) -> None:
    sample = _random(seed, tables, 150, references)

    subset = sample.choose(SubsetRules({"shop.public.t0": "code = 9"}))

    chosen = sample.chosen(subset)
    expected = _naive(sample, {"t0": {3}})
    assert _violations(sample, chosen) == 0
    for name, numbers in expected.items():
        codes = {number * 3 + int(name.removeprefix("t")) for number in numbers}
        assert {row["code"] for row in chosen[name]} == codes
    assert {size.table: size.chosen for size in subset.sizes.tables} == {
        f"shop.public.{name}": len(rows) for name, rows in chosen.items()
    }


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_a_share_with_children_of_every_reference_breaks_none(seed: int) -> None:
    sample = _random(seed, 4, 400, 3)
    names = [
        f"{table.table}.{','.join(key.columns)}" for table in sample.structures for key in table.foreign_keys
    ]

    subset = sample.choose(SubsetRules({"shop.public.t1": 0.01}, dict.fromkeys(names, 1)))

    assert _violations(sample, sample.chosen(subset)) == 0


def _shop(customers: int = 300) -> Sample:
    """Customers, their orders (five each), lines of products, employees with managers."""
    orders = customers * 5
    return Sample(
        (
            _table("customers", {"id": "integer"}),
            _table(
                "orders",
                {"id": "integer", "customer_id": "integer"},
                refers={("customer_id",): ("customers", ("id",))},
            ),
            _table(
                "lines",
                {"order_id": "integer", "number": "integer", "product_id": "integer"},
                key=("order_id", "number"),
                refers={
                    ("order_id",): ("orders", ("id",)),
                    ("product_id",): ("products", ("id",)),
                },
            ),
            _table("products", {"id": "integer"}),
        ),
        {
            "customers": pa.table({"id": pa.array(range(customers), pa.int32())}),
            "orders": pa.table(
                {
                    "id": pa.array(range(orders), pa.int32()),
                    "customer_id": pa.array([each % customers for each in range(orders)], pa.int32()),
                }
            ),
            "lines": pa.table(
                {
                    "order_id": pa.array([each // 2 for each in range(orders * 2)], pa.int32()),
                    "number": pa.array([each % 2 for each in range(orders * 2)], pa.int16()),
                    "product_id": pa.array([each % 11 for each in range(orders * 2)], pa.int64()),
                }
            ),
            "products": pa.table({"id": pa.array(range(11), pa.int64())}),
        },
    )


LINES = "shop.public.lines"
CHILDREN: dict[str, str | int] = {"orders.customer_id": "all", "lines.order_id": "all"}


def test_children_come_along_from_what_a_subset_begins_with_and_not_from_what_is_only_referred_to() -> None:
    shop = _shop()

    chosen = shop.chosen(shop.choose(SubsetRules({"shop.public.customers": "id = 7"}, CHILDREN)))

    assert [row["id"] for row in chosen["customers"]] == [7]
    assert [row["id"] for row in chosen["orders"]] == [7, 307, 607, 907, 1207]
    assert {row["order_id"] for row in chosen["lines"]} == {7, 307, 607, 907, 1207}
    assert 1 < len(chosen["products"]) < 11


def test_only_so_many_children_of_each_row_come_along_and_the_same_ones_each_time() -> None:
    shop = _shop()
    rules = SubsetRules({"shop.public.customers": 1.0}, {"orders.customer_id": 2})

    chosen = shop.chosen(shop.choose(rules))["orders"]
    turned = replace(
        shop,
        rows={name: table.take(pa.array(range(table.num_rows)[::-1])) for name, table in shop.rows.items()},
    )

    assert np.bincount([int(str(row["customer_id"])) for row in chosen]).tolist() == [2] * 300
    again = turned.chosen(turned.choose(rules))["orders"]
    assert sorted(str(row) for row in again) == sorted(str(row) for row in chosen)


def test_a_share_is_a_draw_of_keys_that_grows_with_it() -> None:
    shop = _shop(1500)

    def drawn(share: float) -> set[object]:
        subset = shop.choose(SubsetRules({"shop.public.customers": share}))
        return {row["id"] for row in shop.chosen(subset)["customers"]}

    few, more = drawn(0.05), drawn(0.2)
    assert few < more
    assert 40 < len(few) < 120
    assert 220 < len(more) < 380


def test_the_size_plan_tells_by_which_reference_rows_were_reached() -> None:
    shop = _shop()

    sizes = shop.choose(SubsetRules({"shop.public.customers": "id = 7"}, CHILDREN)).sizes

    told = {size.table: str(size) for size in sizes.tables}
    assert told["shop.public.customers"] == "shop.public.customers: 1 rows, 1 of them to begin with"
    assert told["shop.public.orders"].endswith("5 of them as children by orders.customer_id")
    assert told["shop.public.products"].endswith("of them through lines.product_id")


def test_more_rows_than_allowed_are_refused_with_what_contributes_most() -> None:
    shop = _shop()

    with pytest.raises(RefreshError, match=r"more than max_rows=100\. shop\.public\.lines: 3,000 rows"):
        shop.choose(SubsetRules({"shop.public.lines": 1.0}), max_rows=100)


def test_a_chain_that_is_far_longer_than_any_number_of_rounds_is_followed_to_its_end() -> None:
    count = 5_000
    chain = Sample(
        (
            _table(
                "links",
                {"id": "integer", "before": "integer"},
                refers={("before",): ("links", ("id",))},
            ),
        ),
        {
            "links": pa.table(
                {
                    "id": pa.array(range(count)),
                    "before": pa.array([None, *range(count - 1)], pa.int64()),
                }
            )
        },
    )

    subset = chain.choose(SubsetRules({"shop.public.links": "id = 4990"}))

    assert subset.sizes.chosen == 4991


def test_keys_that_a_database_holds_equal_are_equal_here() -> None:
    refers: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {("code",): ("codes", ("code",))}
    kept = _table("codes", {"code": "text"}, key=("code",))
    using = _table("uses", {"id": "integer", "code": "text"}, refers=refers)
    pairs: list[tuple[pa.Array, pa.Array]] = [
        (pa.array(["Café ", "other"]), pa.array(["CAFE\u0301"])),
        (pa.array([Decimal("7.00"), Decimal("70.00")]), pa.array([7])),
        (pa.array([7, 70], pa.int64()), pa.array(["7"])),
        (pa.array([b"\x00\xff", b"\x00"]), pa.array([b"\x00\xff"])),
    ]
    for codes, uses in pairs:
        sample = Sample(
            (kept, using),
            {"codes": pa.table({"code": codes}), "uses": pa.table({"id": pa.array([1]), "code": uses})},
        )
        chosen = sample.chosen(sample.choose(SubsetRules({"shop.public.uses": 1.0})))
        assert [row["code"] for row in chosen["codes"]] == codes.slice(0, 1).to_pylist()


def test_a_virtual_key_is_a_reference_too_and_may_point_at_nothing() -> None:
    sample = Sample(
        (_table("orders", {"id": "integer"}), _table("events", {"line": "text", "about": "text"}, key=())),
        {
            "orders": pa.table({"id": pa.array([1, 2, 3])}),
            "events": pa.table({"line": pa.array(["a", "b", None]), "about": pa.array(["2", "99", None])}),
        },
    )
    rules = SubsetRules(
        {"shop.public.events": 1.0},
        virtual_keys={"shop.public.events.about": "shop.public.orders.id"},
    )

    chosen = sample.chosen(sample.choose(rules))

    assert chosen["orders"] == [{"id": 2}]
    assert len(chosen["events"]) == 3


def test_chosen_rows_neither_print_nor_leave_their_process() -> None:
    subset = _shop(20).choose(SubsetRules({"shop.public.customers": 1.0}))

    assert repr(subset) == "Subset(20 rows of 4 tables)"
    with pytest.raises(GuardError, match="do not leave their process"):
        pickle.dumps(subset)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (SubsetRules(), "no table says which rows to begin with"),
        (SubsetRules({"shop.public.people": 0.1}), "begin shop.public.people: is not a table"),
        (SubsetRules({"shop.public.orders": 1.5}), "1.5 is not a share"),
        (SubsetRules({"shop.public.orders": 0.1}, {"orders.person": "all"}), "names no reference"),
        (SubsetRules({"shop.public.orders": 0.1}, {"orders.customer_id": "some"}), "none of what may stand"),
        (
            SubsetRules({"shop.public.orders": 0.1}, virtual_keys={f"{LINES}.x": "shop.public.orders.id"}),
            "shop.public.lines has no column x",
        ),
        (
            SubsetRules({"shop.public.orders": 0.1}, virtual_keys={f"{LINES}.number": "shop.public.men.id"}),
            "shop.public.men is not a table",
        ),
    ],
)  # fmt: skip
def test_what_a_declaration_names_and_is_not_there_is_refused(rules: SubsetRules, told: str) -> None:
    with pytest.raises(RefreshError, match=told):
        _shop(5).choose(rules)


def test_too_little_memory_is_refused_and_not_spilled_to_a_folder_that_nobody_gave() -> None:
    shop = _shop(20_000)

    with pytest.raises(RefreshError, match="choosing rows needs more than 2 MiB"):
        choose(
            shop.structures, SubsetRules({"shop.public.customers": 1.0}), PRF, shop.read, shop.matching,
            spill=Spill(memory_mib=2, threads=1),
        )  # fmt: skip
