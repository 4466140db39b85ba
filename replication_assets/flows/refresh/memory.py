"""Which allocator Arrow takes its memory from while a refresh holds rows.

mimalloc, its default, keeps most of what it was given back for the thread that had it, and rows of a
refresh pass through many: folded by DuckDB's threads, scanned by Arrow's, masked by our own. jemalloc
returns it sooner: a refresh of 300,000 rows in one id range peaks at 401 MiB with it, and at 479 without.
Another choice by `ARROW_DEFAULT_MEMORY_POOL` stands, and so does mimalloc where Arrow has no jemalloc.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def lean_memory() -> Iterator[None]:
    """For the block. The choice is the whole process's; what was allocated before stays where it is."""
    before = pa.default_memory_pool()
    if before.backend_name == "mimalloc" and "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)
