"""Steps that hold rows use the allocator that gives memory back, and leave the process as it was."""

import pyarrow as pa
import pytest

from replication_assets.core.sql import Spill
from replication_assets.flows.refresh.spilling import spilling


def test_rows_of_a_step_are_allocated_by_jemalloc_and_nothing_after_it() -> None:
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.mimalloc_memory_pool())
    try:
        with spilling(Spill()):
            assert pa.default_memory_pool().backend_name == "jemalloc"
            with spilling(Spill()):
                assert pa.default_memory_pool().backend_name == "jemalloc"
        assert pa.default_memory_pool().backend_name == "mimalloc"
        with pytest.raises(RuntimeError, match="broke"), spilling(Spill()):
            raise RuntimeError("the step broke")
        assert pa.default_memory_pool().backend_name == "mimalloc"
    finally:
        pa.set_memory_pool(before)


def test_an_allocator_that_somebody_chose_stays() -> None:
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with spilling(Spill()):
            assert pa.default_memory_pool().backend_name == "system"
    finally:
        pa.set_memory_pool(before)
