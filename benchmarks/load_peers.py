"""Other ways from a PostgreSQL table to Parquet files, beside which loads are measured.

Each is used as its documentation says, with the settings that were fastest here. None of them
keeps positions, id ranges or statistics, and none but dlt makes a failed run safe to repeat.
Imports are inside the paths: a path's memory is that of its own libraries.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.measure.runs import Timed


def copy_to_nowhere(psql: str, dsn: str, query: str, rows: int, timed: Timed) -> int:
    """What no client can be faster than: `rows` rows of the server, looked at by nobody."""
    command = [psql, "--dbname", dsn, "--no-psqlrc", "--command"]
    with timed:
        subprocess.run(
            [*command, f"COPY ({query}) TO STDOUT (FORMAT binary)"], stdout=subprocess.DEVNULL, check=True
        )
    return rows


def connectorx_to_parquet(url: str, table: str, folder: Path, timed: Timed) -> int:
    """Two partitions, read by two threads of one process."""
    import connectorx
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    with timed:
        rows = connectorx.read_sql(
            url, f"SELECT * FROM {table}", partition_on="id", partition_num=2, return_type="arrow"
        )
        pq.write_table(rows, folder / "rows.parquet", compression="zstd")
    return int(rows.num_rows)


def adbc_to_parquet(dsn: str, query: str, folder: Path, timed: Timed) -> int:
    """One range, as it comes."""
    import adbc_driver_postgresql.dbapi
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{os.getpid()}.parquet"
    count = 0
    with adbc_driver_postgresql.dbapi.connect(dsn) as connection, connection.cursor() as cursor, timed:
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        with pq.ParquetWriter(file, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
    return count


def dlt_to_parquet(url: str, table: str, folder: Path, timed: Timed) -> int:
    """Its fastest backend; extract, normalize and load into a folder of Parquet files."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    os.environ["DLT_DATA_DIR"] = str(folder / "dlt")
    import dlt
    from dlt.sources.sql_database import sql_table

    pipeline = dlt.pipeline(
        "load",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(folder / "lake").as_uri()),
        dataset_name="shop",
    )
    source = sql_table(
        credentials=url.replace("postgresql://", "postgresql+psycopg://"),
        schema="public",
        table=table,
        backend="connectorx",
        backend_kwargs={"conn": url},
    )
    with timed:
        pipeline.run(source, loader_file_format="parquet")
    trace = pipeline.last_trace
    if trace is None or trace.last_normalize_info is None:
        raise RuntimeError("dlt does not say what it loaded")
    return int(trace.last_normalize_info.row_counts[table])
