"""Sections about errors, validation and the rest of a task's life."""

from __future__ import annotations

from replication_assets.dms.settings.known import Section, honoured, moot, safer

_REFUSED = "a row that a target refuses is a dead letter, counted and reprocessable, by `Refusals`"
_ROW = ("IGNORE_RECORD", "LOG_ERROR", "SUSPEND_TABLE", "STOP_TASK")
_ESCALATION = "`Refusals(escalate_after=..., escalate_to=...)`: after so many open dead letters of a table"

ERRORS: Section = {
    "DataErrorPolicy": safer("LOG_ERROR", _REFUSED, *_ROW),
    "DataTruncationErrorPolicy": safer("LOG_ERROR", f"nothing is cut; {_REFUSED}", *_ROW),
    "DataMaskingErrorPolicy": safer(
        "STOP_TASK", "always stops: LOG_ERROR loads unmasked values in DMS", "LOG_ERROR", *_ROW
    ),
    "DataErrorEscalationPolicy": honoured("SUSPEND_TABLE", _ESCALATION, "SUSPEND_TABLE", "STOP_TASK"),
    "DataErrorEscalationCount": honoured(0, _ESCALATION),
    "EventErrorPolicy": moot("IGNORE", "there are no events of a task", "IGNORE", "STOP_TASK"),
    "TableErrorPolicy": honoured(
        "SUSPEND_TABLE",
        "a table that fails stops by itself, and the others go on",
        "SUSPEND_TABLE",
        "STOP_TASK",
    ),
    "TableErrorEscalationPolicy": honoured(
        "STOP_TASK", "runs of a table fail until it is mended", "STOP_TASK"
    ),
    "TableErrorEscalationCount": honoured(0, "runs of a table fail until it is mended"),
    "ApplyErrorDeletePolicy": safer(
        "IGNORE_RECORD", "a delete of what is not there changes nothing, in every projection", *_ROW
    ),
    "ApplyErrorInsertPolicy": safer(
        "LOG_ERROR",
        "an insert of what is there is decided by positions: the newer stays",
        "INSERT_RECORD",
        *_ROW,
    ),
    "ApplyErrorUpdatePolicy": safer(
        "LOG_ERROR", "an update of what is not there writes the whole row", "UPDATE_RECORD", *_ROW
    ),
    "ApplyErrorEscalationPolicy": honoured(
        "LOG_ERROR", _ESCALATION, "LOG_ERROR", "SUSPEND_TABLE", "STOP_TASK"
    ),
    "ApplyErrorEscalationCount": honoured(0, _ESCALATION),
    "ApplyErrorFailOnTruncationDdl": moot(False, "a TRUNCATE empties the projection; events stay"),
    "FailOnNoTablesCaptured": honoured(True, "a catalog without tables is refused"),
    "FailOnTransactionConsistencyBreached": safer(False, "always fails: loads and capture meet exactly"),
    "FullLoadIgnoreConflicts": honoured(True, "a fill is repeatable; the newer row stays"),
    "RecoverableErrorCount": moot(-1, "retries are Dagster's, of errors that a retry can help", least=-1),
    "RecoverableErrorInterval": moot(5, "retries are Dagster's, of errors that a retry can help"),
    "RecoverableErrorThrottling": moot(True, "requests are sent again with growing, random waits"),
    "RecoverableErrorThrottlingMax": moot(1800, "requests are sent again with growing, random waits"),
    "RecoverableErrorStopRetryAfterThrottlingMax": moot(True, "a request is given up after five minutes"),
}

VALIDATION: Section = {
    "EnableValidation": honoured(
        False, "`Validation` of the projection; also for DynamoDB and for masked copies"
    ),
    "ValidationMode": honoured(
        "ROW_LEVEL", "digests of ranges, and rows where they differ", "ROW_LEVEL", "GROUP_LEVEL"
    ),
    "ThreadCount": moot(5, "digests are computed in the source, range by range"),
    "PartitionSize": moot(10_000, "id ranges are what is compared"),
    "FailureMaxCount": moot(10_000, "all mismatches are counted; none ends the comparison"),
    "TableFailureMaxCount": moot(1_000, "all mismatches are counted; none ends the comparison"),
    "RecordFailureDelayInMinutes": moot(5, "a range is compared at its own checkpoint: no waiting"),
    "RecordFailureDelayLimitInMinutes": moot(0, "a range is compared at its own checkpoint: no waiting"),
    "RecordSuspendDelayInMinutes": moot(30, "a range is compared at its own checkpoint: no waiting"),
    "MaxKeyColumnSize": moot(8096, "keys of any size are compared"),
    "ValidationOnly": honoured(False, "`replication-assets validate` alone"),
    "HandleCollationDiff": honoured(False, "keys are compared by their bytes, on both sides"),
    "SkipLobColumns": safer(False, "large objects are compared like any column"),
    "ValidationPartialLobSize": safer(0, "large objects are compared whole"),
    "ValidationQueryCdcDelaySeconds": moot(0, "a range is compared at its own checkpoint: no waiting"),
    "ValidationS3Mask": moot(0, "there is no Athena between"),
    "ValidationS3Time": moot(0, "there is no Athena between"),
}

CONTROL: Section = {
    "ControlSchema": moot(
        "", "checkpoints stand beside the data, in the control table of DynamoDB or the target"
    ),
    "ControlTableSchema": moot("", "older name of ControlSchema"),
    "HistoryTimeslotInMinutes": moot(5, "figures are materializations and metrics"),
    "historyTimeslotInMinutes": moot(5, "DMS's own second spelling of HistoryTimeslotInMinutes"),
    "HistoryTimeslotInMinutesInMinutes": moot(5, "older name of HistoryTimeslotInMinutes"),
    "HistoryTableEnabled": moot(False, "materializations in Dagster, `replication-assets metrics`"),
    "StatusTableEnabled": moot(False, "`replication-assets status`"),
    "SuspendedTablesTableEnabled": moot(False, "`replication-assets status` names suspended tables"),
    "CommitPositionTableEnabled": moot(False, "each range's checkpoint says its position"),
    "FullLoadExceptionTableEnabled": honoured(False, "dead letters of loads are kept, always"),
}

_BUCKET = "the event store has a place and options of its own: `EventStoreConfig`"

TIME_TRAVEL: Section = {
    "TTS3Settings.EncryptionMode": moot("", _BUCKET),
    "TTS3Settings.ServerSideEncryptionKmsKeyId": moot("", _BUCKET),
    "TTS3Settings.ServiceAccessRoleArn": moot("", _BUCKET),
    "TTS3Settings.BucketName": moot("", _BUCKET),
    "TTS3Settings.BucketFolder": moot("", _BUCKET),
    "TTS3Settings.EnableDeletingFromS3OnTaskDelete": moot(False, "events stay until they are told to go"),
    "TTRecordSettings.EnableRawData": moot(False, "the event store is that journal"),
    "TTRecordSettings.RawDataFormat": moot("", "events are Parquet in a Delta log"),
    "TTRecordSettings.RawDataEncryption": moot("", _BUCKET),
    "TTRecordSettings.OperationsToLog": moot("ALL", "every event is kept"),
    "TTRecordSettings.MaxRecordSize": moot(64, "events have no greatest size"),
    "TTRecordSettings.CdcStartPosition": moot("", "any position of the store can be asked for (`--as-of`)"),
    "EnableTT": moot(False, "the event store answers questions as of any time"),
}

LOOPBACK: Section = {
    "EnableLoopbackPrevention": moot(False, "projections never write to a source, so nothing can come back"),
    "SourceSchema": moot("", "nothing can come back"),
    "TargetSchema": moot("", "nothing can come back"),
}

RESYNC: Section = {
    "EnableResync": moot(False, "`replication-assets repair` mends what a validation found, when asked"),
    "ResyncSchedule": moot("", "a repair is started by whoever read what a validation found"),
    "MaxResyncTime": moot(0, "a repair takes the rows that differ, not a time"),
    "ValidationTaskId": moot("", "findings are kept with the projection"),
}
