"""Other ways out of a MariaDB table and out of its binlog, beside which ours are measured.

Each is used as its documentation says, with the settings that were fastest here. Imports are inside
the paths: a path's memory is that of its own libraries.
"""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

from benchmarks.mariadb_sample import DATABASE, TABLE, Sample
from benchmarks.measure.runs import Timed

FETCHED = 10_000


def written_by_the_server(sample: Sample, condition: str, rows: int, timed: Timed) -> int:
    """`SELECT INTO OUTFILE`, which `mariadb-dump --tab` sends as well: no client, no network. The file
    is written into the server's own folder."""
    file = sample.data / f"{abs(hash(condition))}.txt"
    statement = f"SELECT * INTO OUTFILE '{file}' FROM {TABLE} WHERE {condition}"
    try:
        with closing(sample.session()) as session, session.cursor() as cursor, timed:
            cursor.execute(statement)
    finally:
        file.unlink(missing_ok=True)
    return rows


def dumped_to_nowhere(sample: Sample, condition: str, rows: int, timed: Timed) -> int:
    """`mariadb-dump`, row by row as it comes, as INSERT statements of many rows."""
    command = [*sample.client("mariadb-dump"), "--quick", "--single-transaction", "--extended-insert"]
    command += ["--no-create-info", f"--where={condition}", DATABASE, TABLE]
    with timed:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return rows


def connectorx_to_parquet(sample: Sample, folder: Path, timed: Timed) -> int:
    """Two partitions, read by two threads of one process."""
    import connectorx
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    url = f"mysql://root@127.0.0.1:{sample.port}/{DATABASE}"
    with timed:
        rows = connectorx.read_sql(
            url, f"SELECT * FROM {TABLE}", partition_on="id", partition_num=2, return_type="arrow"
        )
        pq.write_table(rows, folder / "rows.parquet", compression="zstd")
    return int(rows.num_rows)


def pymysql_to_parquet(sample: Sample, condition: str, folder: Path, timed: Timed) -> int:
    """A cursor that does not hold its rows, some thousand rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pymysql.cursors

    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    query = f"SELECT * FROM {TABLE} WHERE {condition}"
    with closing(sample.session()) as session, session.cursor(pymysql.cursors.SSCursor) as cursor, timed:
        cursor.execute(query)
        names = [column[0] for column in cursor.description or ()]
        writer = None
        while rows := cursor.fetchmany(FETCHED):
            batch = pa.Table.from_arrays([pa.array(column) for column in zip(*rows, strict=True)], names)
            writer = writer or pq.ParquetWriter(folder / "rows.parquet", batch.schema, compression="zstd")
            writer.write_table(batch)
            count += batch.num_rows
        if writer is not None:
            writer.close()
    return count


# --- binlog ------------------------------------------------------------------------------


def binlog_copied(sample: Sample, file: str, rows: int, folder: Path, timed: Timed) -> int:
    """`mariadb-binlog --raw`: the events as they are, into a file, to its end. Nothing looks into them."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [*sample.client("mariadb-binlog"), "--read-from-remote-server", "--raw"]
    command += [f"--result-file={folder}/", file]
    with timed:
        subprocess.run(command, check=True)
    for each in folder.iterdir():
        each.unlink()
    return rows


def binlog_printed(sample: Sample, file: str, stop: int, rows: int, timed: Timed) -> int:
    """`mariadb-binlog --verbose` into nowhere: rows as text."""
    command = [*sample.client("mariadb-binlog"), "--read-from-remote-server", "--verbose"]
    command += ["--base64-output=decode-rows", f"--stop-position={stop}", file]
    with timed:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return rows


def binlog_as_dicts(sample: Sample, file: str, stop: int, timed: Timed) -> int:
    """python-mysql-replication: each row a dict. Without `is_mariadb`, with which it ignores the file
    that it is told to begin in."""
    from pymysqlreplication import BinLogStreamReader
    from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

    reader = BinLogStreamReader(
        {"host": "127.0.0.1", "port": sample.port, "user": "root", "passwd": ""},
        server_id=4_294_967,
        log_file=file,
        log_pos=4,
        end_log_pos=stop,
        only_events=[DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent],
        only_schemas=[DATABASE],
        resume_stream=True,
        enable_logging=False,
    )
    count = 0
    try:
        with timed:
            for event in reader:
                count += len(event.rows)
    finally:
        reader.close()
    return count
