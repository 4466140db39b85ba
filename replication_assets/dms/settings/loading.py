"""Sections about tables, large objects and full loads.

Defaults are what the API returns for settings that were not given; where the user guide says otherwise
its pages are older (https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Tasks.CustomizingTasks.TaskSettings.html).
"""

from __future__ import annotations

from replication_assets.dms.settings.known import Section, honoured, moot, safer

_LOBS = "values are read whole with their row, whatever their size; none is looked up or cut into chunks"
_THREADS = "targets are written by `connections` of the projection, which is raised to it"
_QUEUES = "there are no queues between threads: rows stream in batches"

TARGET_METADATA: Section = {
    "TargetSchema": moot(
        "",
        "`into` of a SQL projection, which `import` sets; items and files have no schemas",
    ),
    "SupportLobs": safer(
        True, "large objects are replicated, also where it is false: remove the columns by a rule"
    ),
    "FullLobMode": honoured(False, "every value is replicated whole, which is what full mode promises"),
    "LobChunkSize": moot(64, _LOBS),
    "LimitedSizeLobMode": safer(True, "values over LobMaxSize are replicated whole instead of being cut"),
    "LobMaxSize": safer(
        32, "KB. Nothing is cut here; what a target cannot hold is a dead letter", most=2_097_151
    ),
    "InlineLobMaxSize": moot(0, _LOBS, most=102_400),
    "LoadMaxFileSize": moot(0, "no CSV files are staged for a target"),
    "ParallelLoadThreads": honoured(0, _THREADS, most=200),
    "ParallelLoadBufferSize": moot(0, _QUEUES, most=1000),
    "ParallelLoadQueuesPerThread": moot(0, _QUEUES, most=512),
    "ParallelApplyThreads": honoured(0, _THREADS, most=200),
    "ParallelApplyBufferSize": moot(0, _QUEUES, most=1000),
    "ParallelApplyQueuesPerThread": moot(0, _QUEUES, most=512),
    "BatchApplyEnabled": safer(
        False,
        "projections always write net changes of a range; a row that is refused is a dead letter of its own",
    ),
    "TaskRecoveryTableEnabled": honoured(False, "each target keeps the checkpoint beside its data, always"),
}

FULL_LOAD: Section = {
    "TargetTablePrepMode": safer(
        "DO_NOTHING",
        "tables that are there are kept. The other two empty what readers read: say `reset` yourself",
        "DO_NOTHING",
        "DROP_AND_CREATE",
        "TRUNCATE_BEFORE_LOAD",
    ),
    "CreatePkAfterFullLoad": moot(
        False, "SQL projections are filled under their key, so that a fill can be repeated"
    ),
    "StopTaskCachedChangesApplied": moot(False, "a load, a capture and a projection are runs of their own"),
    "StopTaskCachedChangesNotApplied": moot(
        False, "a load, a capture and a projection are runs of their own"
    ),
    "MaxFullLoadSubTasks": honoured(8, "`max_parallel_loads` of the source", least=1, most=49),
    "TransactionConsistencyTimeout": safer(
        600, "seconds, `load_wait_seconds` of the source. A load then fails, where DMS starts and loses rows"
    ),
    "CommitRate": moot(10_000, "a load is one commit: visible whole, or not at all", least=1, most=50_000),
}

CHANGE_TUNING: Section = {
    "BatchApplyPreserveTransaction": moot(True, "the event store keeps the order of transactions"),
    "BatchApplyTimeoutMin": moot(1, "the capture flushes by time and size of its own"),
    "BatchApplyTimeoutMax": moot(30, "the capture flushes by time and size of its own"),
    "BatchApplyMemoryLimit": moot(500, "memory is bounded whatever the backlog (docs/architecture.md)"),
    "BatchSplitSize": moot(0, "memory is bounded whatever the backlog (docs/architecture.md)"),
    "MinTransactionSize": moot(1000, "projections write net changes, not transactions"),
    "CommitTimeout": moot(1, "`mode` and `capture_interval_seconds` of the source say how fresh"),
    "MemoryLimitTotal": moot(1024, "transactions are streamed in pieces and never held whole"),
    "MemoryKeepTime": moot(60, "transactions are streamed in pieces and never held whole"),
    "StatementCacheSize": moot(50, "SQL projections write sets, not single statements", most=200),
    "RecoveryTimeout": moot(-1, "a capture starts at its checkpoint and waits for no other", least=-1),
}

DDL: Section = {
    "HandleSourceTableDropped": safer(
        True,
        "the table's events stay; the projection keeps its rows until it is reset. Dropping is never copied",
    ),
    "HandleSourceTableTruncated": honoured(True, "a TRUNCATE empties the range in projections; events stay"),
    "HandleSourceTableAltered": honoured(
        True, "columns follow the source; a change of type begins a new chapter"
    ),
}

STREAM_BUFFER: Section = {
    "StreamBufferCount": moot(3, "the change stream is read in pieces of some megabytes, one at a time"),
    "StreamBufferSizeInMB": moot(8, "the change stream is read in pieces of some megabytes, one at a time"),
    "CtrlStreamBufferSizeInMB": moot(5, "control events go through the same log as rows", most=8),
    "EventTableStreamBufferSize": moot(0, "the change stream is read in pieces of some megabytes"),
}

BEFORE_IMAGE: Section = {
    "EnableBeforeImage": honoured(
        False, "`before_images` of a topic. Elsewhere: every event of the store has the former key"
    ),
    "FieldName": honoured("", "`before_field` of a topic's messages"),
    "ColumnFilter": honoured(
        "pk-only",
        "`before_columns` of a topic's messages; `non-lob` tells large values too",
        "pk-only",
        "non-lob",
        "all",
    ),
}
