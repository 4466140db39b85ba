"""A task through DMS's API. boto3 is imported when it is first asked; its messages are not repeated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from replication_assets.core.dms_tasks import (
    StartType,
    TableStatistics,
    TaskEvent,
    TaskState,
    stop_reason_of,
)
from replication_assets.errors import ReplicationError, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.secret_references import SecretReference, resolve_for

TABLES_PER_RELOAD = 10
"""As many tables as DMS takes in one request."""
EVENT_MINUTES = 24 * 60
_DENIED = frozenset({"AccessDeniedFault", "AccessDeniedException", "UnrecognizedClientException"})
_PASSING = frozenset({"ThrottlingException", "Throttling", "RequestLimitExceeded"})


@dataclass(frozen=True, slots=True)
class Boto3DmsTask:
    """Holds references, never a secret. The region is the one of `arn`."""

    arn: str
    endpoint_url: str | None = None
    access_key_id: SecretReference | None = None
    secret_access_key: SecretReference | None = None

    @property
    def where(self) -> str:
        return f"DMS task {self.arn.rpartition(':')[2]}"

    def state(self) -> TaskState:
        chosen = [{"Name": "replication-task-arn", "Values": [self.arn]}]
        with _errors(self.where):
            found = self._client().describe_replication_tasks(Filters=chosen, WithoutSettings=True)
        tasks = found.get("ReplicationTasks", [])
        if not tasks:
            raise _no_task(self.where)
        return _state(tasks[0])

    def statistics(self) -> tuple[TableStatistics, ...]:
        with _errors(self.where):
            pages = self._client().get_paginator("describe_table_statistics")
            found = [
                _statistics(each)
                for page in pages.paginate(ReplicationTaskArn=self.arn)
                for each in page.get("TableStatistics", [])
            ]
        return tuple(sorted(found, key=lambda each: (each.schema, each.table)))

    def events(self, task: TaskState) -> tuple[TaskEvent, ...]:
        asked = {"SourceIdentifier": task.identifier, "SourceType": "replication-task"}
        with _errors(self.where):
            pages = self._client().get_paginator("describe_events")
            found = [
                _event(each)
                for page in pages.paginate(**asked, Duration=EVENT_MINUTES)
                for each in page.get("Events", [])
            ]
        return tuple(sorted(found, key=lambda each: each.at, reverse=True))

    def start(self, way: StartType) -> bool:
        return self._asked(
            "start_replication_task", ReplicationTaskArn=self.arn, StartReplicationTaskType=way
        )

    def stop(self) -> bool:
        return self._asked("stop_replication_task", ReplicationTaskArn=self.arn)

    def reload(self, tables: Sequence[tuple[str, str]]) -> None:
        for first in range(0, len(tables), TABLES_PER_RELOAD):
            chosen = tables[first : first + TABLES_PER_RELOAD]
            named = [{"SchemaName": schema, "TableName": name} for schema, name in chosen]
            if not self._asked("reload_tables", ReplicationTaskArn=self.arn, TablesToReload=named):
                raise SourceNotReady(
                    "its tables can be loaded anew only while it runs", where=self.where, fix="run it first"
                )

    def _asked(self, operation: str, **parameters: Any) -> bool:
        """False where DMS says that the state of the task does not allow it."""
        with _errors(self.where):
            client = self._client()
            try:
                getattr(client, operation)(**parameters)
            except client.exceptions.InvalidResourceStateFault:
                return False
        return True

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        given = {}
        if self.access_key_id is not None and self.secret_access_key is not None:
            given["aws_access_key_id"] = resolve_for(self.access_key_id, self.where).reveal()
            given["aws_secret_access_key"] = resolve_for(self.secret_access_key, self.where).reveal()
        region = self.arn.split(":")[3]
        # No retry of a start: the second would find it started, and say that somebody else was sooner.
        config = Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 1})
        session = boto3.Session(region_name=region, **given)
        return session.client("dms", endpoint_url=self.endpoint_url, config=config)


def _state(task: Mapping[str, Any]) -> TaskState:
    told = task.get("ReplicationTaskStats") or {}
    return TaskState(
        str(task.get("Status", "")),
        str(task.get("MigrationType", "")),
        stop_reason_of(task.get("StopReason")),
        int(told.get("FullLoadProgressPercent") or 0),
        int(told.get("TablesErrored") or 0),
        _time(told.get("StartDate") or task.get("ReplicationTaskStartDate")),
        _time(told.get("StopDate")),
        _time(told.get("FullLoadFinishDate")),
        str(task.get("ReplicationTaskIdentifier", "")),
    )


def _event(told: Mapping[str, Any]) -> TaskEvent:
    at = _time(told.get("Date")) or dt.datetime.fromtimestamp(0, dt.UTC)
    return TaskEvent(at, tuple(str(each) for each in told.get("EventCategories", [])))


def _time(value: Any) -> dt.datetime | None:
    return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else None


def _statistics(told: Mapping[str, Any]) -> TableStatistics:
    def count(name: str) -> int:
        return int(told.get(name) or 0)

    return TableStatistics(
        str(told.get("SchemaName", "")),
        str(told.get("TableName", "")),
        str(told.get("TableState", "")),
        count("FullLoadRows"),
        count("Inserts"),
        count("Updates"),
        count("Deletes"),
        count("Ddls"),
        count("FullLoadErrorRows") + count("FullLoadCondtnlChkFailedRows"),
        str(told.get("ValidationState", "")),
    )


def _no_task(where: str) -> SourceNotReady:
    return SourceNotReady("there is no such task", where=where, fix="check its ARN and the account")


@contextmanager
def _errors(where: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ReplicationError:
        raise
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "ResourceNotFoundFault":
            raise _no_task(where) from None
        if code in _DENIED:
            raise SourceNotReady(
                f"{error.operation_name} is not allowed ({code})",
                where=where,
                fix="grant dms:DescribeReplicationTasks, dms:DescribeEvents, dms:DescribeTableStatistics,"
                " dms:StartReplicationTask, dms:StopReplicationTask and dms:ReloadTables on the task",
            ) from None
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        kind = SourceUnavailable if status >= 500 or code in _PASSING else SourceError
        raise kind(
            f"{error.operation_name} was refused ({code})", where=where, fix="see DMS's console"
        ) from None
    except BotoCoreError as error:
        raise SourceUnavailable(
            f"DMS does not answer ({type(error).__name__})",
            where=where,
            fix="check network, endpoint and credentials, and run it again",
        ) from None
