"""Rows per second through the mask of a table, on one core: `python benchmarks/masking.py [rows]`.

Seven sensitive columns and one that is kept, in batches of 65,536 rows, by the very path that a
refresh takes: a compiled policy, whole columns at a time. Beside it, the limit (an Arrow copy of the
same columns) and what a loop over values would do (an HMAC each, in Python, on a sample). The
figures are medians of three; the processor's time is what a busy machine does not change.
"""

from __future__ import annotations

import hmac
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor, each the median of three."""
    found = []
    for _ in range(3):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - clock, time.process_time() - processor))
    clocks, processors = zip(*found, strict=True)
    return statistics.median(clocks), statistics.median(processors)


def masked(mask: TableMask, table: pa.Table) -> None:
    for batch in batches_of(table):
        mask.mask(RawBatch(batch))


def copied(table: pa.Table) -> None:
    """Every buffer of the sensitive columns, copied."""
    for batch in batches_of(table.select(list(SENSITIVE))):
        batch.take(pa.array(np.arange(len(batch), dtype=np.int32)))


def hashed(table: pa.Table) -> None:
    """One HMAC for each sensitive value of a sample, as a loop over rows would have it."""
    for column in table.slice(0, SAMPLE).select(list(SENSITIVE)).columns:
        for value in column.cast(pa.string()).to_pylist():
            hmac.digest(b"0123456789abcdef", value.encode(), "sha256")


def main(rows: int) -> None:
    pa.set_cpu_count(1)
    say = sys.stdout.write
    say(f"{_processor()}, Python {platform.python_version()}, pyarrow {pa.__version__}, one core\n")
    say(f"{rows:,} rows, {len(SENSITIVE)} sensitive columns and 1 kept, {ROWS_AT_ONCE:,} rows at once\n")
    table, mask = customers(rows), mask_of_customers()
    sample = min(SAMPLE, rows)
    mask_clock, mask_cpu = timed(lambda: masked(mask, table))
    copy_clock, copy_cpu = timed(lambda: copied(table))
    loop_clock, loop_cpu = (seconds * rows / sample for seconds in timed(lambda: hashed(table)))
    say("M rows/s           by the clock   by the processor\n")
    say(f"masked             {_rate(rows, mask_clock)}   {_rate(rows, mask_cpu)}")
    say(f"   ({_rate(rows * len(SENSITIVE), mask_cpu).strip()} M values/s)\n")
    say(f"Arrow copy         {_rate(rows, copy_clock)}   {_rate(rows, copy_cpu)}")
    say(f"   {mask_cpu / copy_cpu:.1f} times as fast\n")
    say(f"HMAC of each value {_rate(rows, loop_clock)}   {_rate(rows, loop_cpu)}")
    say(f"   {loop_cpu / mask_cpu:.0f} times as slow, measured on {sample:,} rows\n")


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds / 1e6:12.2f}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  # a file of the kernel
            found = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()


if __name__ == "__main__":
    main(int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 1_000_000)
