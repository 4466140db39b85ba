"""Rows per second through the mask of a table, on one core, beside a copy and a loop of HMACs."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.measure.machine import versions
from benchmarks.measure.report import Report, Table, Target
from benchmarks.measure.runs import Run, Timed, by_turns, run, run_here
from benchmarks.measure.scale import Scale
from replication_assets.core.events import OVERFLOW
from replication_assets.core.masking.batches import RawBatch
from replication_assets.core.masking.compile import compile_table
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.core.masking.rules import (
    Address,
    DateShift,
    Email,
    IntegerId,
    Keep,
    PersonName,
    Phone,
    Rule,
)
from replication_assets.core.masking.table_mask import TableMask
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import ColumnStructure, TableStructure, UniqueKey, describe_column

ROWS_AT_ONCE = 65_536
SAMPLE = 50_000
SENSITIVE: Mapping[str, tuple[str, pa.DataType, Rule]] = {
    "customer_id": ("bigint", pa.int64(), IntegerId("customer")),
    "email": ("text", pa.string(), Email()),
    "first_name": ("text", pa.string(), PersonName("first")),
    "last_name": ("text", pa.string(), PersonName("last")),
    "phone": ("text", pa.string(), Phone()),
    "city": ("text", pa.string(), Address("city")),
    "born": ("date", pa.date32(), DateShift(entity="customer_id")),
}
COLUMNS = {**SENSITIVE, "status": ("text", pa.string(), Keep())}


MASKED, COPIED, HASHED = "replication_assets", "Arrow copy", "HMAC of each value, in Python"
TARGET = 0.8e6
"""Rows per second of one core."""
ABOUT = """\
Seven sensitive columns and one that is kept, in batches of 65,536 rows, by the very path that a refresh
takes: a compiled policy, whole columns at a time, in one process that may use one core. Beside it the
limit, an Arrow copy of the same columns, and what a loop over values would do: an HMAC each."""
NOTES = """\
Nearly all of it is AES of whole columns by OpenSSL, and placing its words into texts: an e-mail, a name
or a city costs some 0.1 to 0.2 µs, a number drawn by a permutation (ten rounds) the most."""


def measure(scale: Scale, home: Path) -> Report:  # noqa: ARG001 - nothing is written
    paths = {
        MASKED: partial(_masked, scale.of(1_000_000, 5_000)),
        COPIED: partial(_copied, scale.of(1_000_000, 5_000)),
        HASHED: partial(_hashed, scale.of(50_000, 1_000)),
    }
    alone = run_here if scale.short else run
    runs = by_turns({name: partial(alone, path) for name, path in paths.items()}, scale.rounds)
    of_core = runs[MASKED].rows / max(runs[MASKED].client, 1e-9)
    return Report(
        "masking",
        "Masking",
        ABOUT,
        versions("pyarrow", "numpy", "cryptography"),
        (_table(runs),),
        (
            Target.at_least(
                "million rows a second of one core", TARGET / 1e6, of_core / 1e6, short=scale.short
            ),
        ),
        notes=NOTES,
    )


def _table(runs: dict[str, Run]) -> Table:
    ours = runs[MASKED].client_micros()
    headers = ("path", "rows", "rows/s", "client µs/row", "client µs/value", "of our client time", "peak MiB")
    lines = tuple(
        (
            name,
            f"{each.rows:,}",
            f"{each.rate:,.0f}",
            f"{each.client_micros():.2f}",
            f"{each.client_micros() / len(SENSITIVE):.2f}",
            f"{each.client_micros() / max(ours, 1e-9):.2f}",
            f"{each.peak_mib:.0f}",
        )
        for name, each in runs.items()
    )
    return Table(f"{len(SENSITIVE)} sensitive columns", headers, lines)


def mask_of_customers() -> TableMask:
    table = TableId("shop", "public", "customer")
    structure = TableStructure(
        table,
        "postgresql",
        tuple(ColumnStructure(name, spelled, nullable=False) for name, (spelled, _, _) in COLUMNS.items()),
        primary_key=UniqueKey("customer_pkey", ("customer_id",)),
    )
    columns = tuple(Column(name, spelled, arrow) for name, (spelled, arrow, _) in COLUMNS.items())
    rules = {
        column.name: ColumnPolicy(
            "public" if column.name == "status" else "pii.customer",
            COLUMNS[column.name][2],
            reviewed=describe_column(column),
        )
        for column in structure.columns
    }
    policy = MaskingPolicy(
        "benchmark",
        namespaces=[Namespace("customer", low=1, high=2**63 - 1)],
        tables=[TablePolicy(str(table), columns=rules)],
    )
    keys = KeyRing(bytes(range(32)), environment="qa", scope="nonproduction")
    return compile_table(
        policy, structure, TableSchema(columns, key=("customer_id",)), allow=("public",), keys=keys
    )


def customers(rows: int) -> pa.Table:
    """As many customers as rows, with names and cities that come again as they do."""
    numbers = np.arange(1, rows + 1)
    texts = pa.array(numbers).cast(pa.string())
    spread = np.random.default_rng(1)
    named = pa.array([f"{one}{two}".title() for one in _SYLLABLES for two in _SYLLABLES])
    first, last, city = (named.take(pa.array(spread.zipf(1.3, rows) % len(named))) for _ in range(3))
    born = spread.integers(-15_000, 13_000, rows).astype(np.int32)
    phones = pa.array(spread.integers(10**9, 10**10, rows)).cast(pa.string())
    return pa.table(
        {
            "customer_id": pa.array(numbers),
            "email": pc.binary_join_element_wise(first, ".", last, texts, "@example.com", ""),
            "first_name": first,
            "last_name": last,
            "phone": pc.binary_join_element_wise("+1 ", phones, ""),
            "city": city,
            "born": pa.array(born).cast(pa.date32()),
            "status": pa.array(["open", "closed"]).take(pa.array(numbers % 2)),
            OVERFLOW: pa.nulls(rows, pa.string()),
        }
    )


_SYLLABLES = ("an", "be", "co", "da", "el", "fi", "go", "ha", "in", "jo", "ka", "lu", "ma", "ne", "or", "pa")


def batches_of(table: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from table.combine_chunks().to_batches(max_chunksize=ROWS_AT_ONCE)


def _masked(rows: int, timed: Timed) -> int:
    pa.set_cpu_count(1)
    table, mask = customers(rows), mask_of_customers()
    mask.mask(RawBatch(next(batches_of(table.slice(0, ROWS_AT_ONCE)))))
    with timed:
        for batch in batches_of(table):
            mask.mask(RawBatch(batch))
    return rows


def _copied(rows: int, timed: Timed) -> int:
    """Every buffer of the sensitive columns, copied."""
    pa.set_cpu_count(1)
    table = customers(rows).select(list(SENSITIVE))
    with timed:
        for batch in batches_of(table):
            batch.take(pa.array(np.arange(len(batch), dtype=np.int32)))
    return rows


def _hashed(rows: int, timed: Timed) -> int:
    """One HMAC for each sensitive value, as a loop over rows would have it."""
    columns = [column.cast(pa.string()) for column in customers(rows).select(list(SENSITIVE)).columns]
    with timed:
        for column in columns:
            for value in column.to_pylist():
                hmac.digest(b"0123456789abcdef", value.encode(), "sha256")
    return rows
