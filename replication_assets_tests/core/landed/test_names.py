"""Where a file stands is told by its name, and by nothing else."""

from __future__ import annotations

import datetime as dt
from random import Random

import pytest

from replication_assets.core.landed.names import LandedFile, landed_file, next_commit
from replication_assets.errors import SourceNotReady

IN_ORDER = [
    "s/t/LOAD1.csv",
    "s/t/LOAD00000009.csv.gz",
    "s/t/LOAD0000000A.parquet",
    "s/t/LOAD00000010.csv",
    "s/t/cdc-00002.parquet",
    "s/t/2025/12/31/20251231-2359590000.csv",
    "s/t/20260101-000000000.csv",
    "cdc/CDC_TXN-20260101000000001.csv",
    "s/t/20260101/20260101-0000000020.csv",
]


def placed(path: str) -> LandedFile:
    found = landed_file(
        path, 1, 0, is_wanted=lambda schema, name: (schema, name) == ("s", "t"), cdc_path="cdc"
    )
    assert found is not None
    return found


def test_files_are_in_the_order_of_their_names() -> None:
    shuffled = list(IN_ORDER)
    Random(4).shuffle(shuffled)
    assert sorted(shuffled, key=lambda path: placed(path).order) == IN_ORDER


def test_a_name_tells_format_table_and_time() -> None:
    file = placed("s/t/2026/11/21/20261121-1030001230.csv.gz")
    assert (file.format, file.gzip, file.table, file.is_load) == ("csv", True, ("s", "t"), False)
    assert file.at == dt.datetime(2026, 11, 21, 10, 30, 0, 123000, tzinfo=dt.UTC)
    assert placed("cdc/CDC00001.csv").table is None
    assert placed("cdc/s/t/CDC00001.csv").table == ("s", "t")


@pytest.mark.parametrize("path", ["s/u/LOAD1.csv", "readme.txt", "s/t", "s/t/.x/LOAD1.csv", "cdc/s/u/1.csv"])
def test_what_is_not_of_a_wanted_table_is_none(path: str) -> None:
    assert landed_file(path, 1, 0, is_wanted=lambda schema, name: name == "t", cdc_path="cdc") is None


@pytest.mark.parametrize("path", ["s/t/data.csv", "s/t/LOADXYZ.csv", "s/t/LOAD1.txt", "cdc/CDC1.parquet"])
def test_a_name_without_place_or_format_is_refused(path: str) -> None:
    with pytest.raises(SourceNotReady, match=path):
        placed(path)


def test_positions_are_the_times_of_names_and_rise_in_any_case() -> None:
    file = placed("s/t/20261121-1030001230.csv")
    assert next_commit(0, file) == 202611211030001230
    assert next_commit(202611211030001230, file) == 202611211030001231
    assert next_commit(7, placed("s/t/LOAD0000000A.csv")) == 8
