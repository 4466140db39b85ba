"""Settings that are dangerous, alone or together, and with what a mapping asks for."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.dms.findings import Finding, Findings
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.settings.reading import TaskSettings

_MOST_THREADS = 200


def dangers(
    settings: TaskSettings, tables: Sequence[TableOutcome] = (), target: str = ""
) -> tuple[Finding, ...]:
    """`target` is the engine of the target endpoint, where it is known: dynamodb, s3, kafka, kinesis."""
    findings = Findings()
    _tell_lobs(settings, tables, findings)
    _tell_batches(settings, target, findings)
    _tell_threads(settings, findings)
    _tell_errors(settings, findings)
    _tell_tables(settings, target, findings)
    _tell_validation(settings, target, findings)
    _tell_before_images(settings, tables, findings)
    _tell_order(settings, tables, findings)
    return findings.listed()


def _tell_lobs(settings: TaskSettings, tables: Sequence[TableOutcome], findings: Findings) -> None:
    section = "TargetMetadata"
    place = settings.place(section, "LimitedSizeLobMode")
    if settings.value(section, "SupportLobs") is False:
        what = "SupportLobs is false: DMS leaves large objects out; here they are replicated"
        place = settings.place(section, "SupportLobs")
        findings.warn("lobs-left-out", what, "remove the columns by a rule if that is meant", place)
        return
    full, limited = settings.value(section, "FullLobMode"), settings.value(section, "LimitedSizeLobMode")
    if full and limited and settings.is_given(section, "LimitedSizeLobMode"):
        what = "FullLobMode and LimitedSizeLobMode are both true: one of them is ignored by DMS"
        findings.error("lob-modes", what, "switch one of them off", place)
    elif limited and not full:
        size = settings.value(section, "LobMaxSize")
        found = [
            f"{t.source}.{c.source}"
            for t in tables
            for c in t.columns
            if c.type and c.type.type.endswith("lob")
        ]
        lobs = list(dict.fromkeys(found))
        about = f" ({', '.join(lobs[:5])})" if lobs else ""
        what = (
            f"limited mode: DMS cuts large objects{about} at {size} KB in a full load; here they are whole, "
            "and a value that the target cannot hold is a dead letter"
        )
        told = findings.warn if lobs else findings.note
        told("lob-truncation", what, "nothing to do here; in DMS raise LobMaxSize", place)


def _tell_batches(settings: TaskSettings, target: str, findings: Findings) -> None:
    if not settings.value("TargetMetadata", "BatchApplyEnabled"):
        return
    place = settings.place("TargetMetadata", "BatchApplyEnabled")
    if target in ("s3", "kafka", "kinesis"):
        what = f"BatchApplyEnabled with {target}: DMS may lose changes"
        findings.error("batch-apply", what, "switch it off", place)
    else:
        what = (
            "BatchApplyEnabled: DMS may lose changes with S3 and Kafka, and breaks the order of foreign keys"
        )
        findings.warn("batch-apply", what, "switch it off unless the target is a database with keys", place)
    if settings.value("TargetMetadata", "FullLobMode"):
        what = "BatchApplyEnabled needs limited large objects, and FullLobMode is on"
        findings.error("batch-apply-lobs", what, "switch one of them off", place)


def _tell_threads(settings: TaskSettings, findings: Findings) -> None:
    threads = settings.value("TargetMetadata", "ParallelLoadThreads")
    subtasks = settings.value("FullLoadSettings", "MaxFullLoadSubTasks")
    if isinstance(threads, int) and isinstance(subtasks, int) and threads * subtasks > 0:
        product = threads * subtasks
        place = settings.place("TargetMetadata", "ParallelLoadThreads")
        what = f"{threads} threads for each of {subtasks} tables: up to {product} writers at a time"
        if product > _MOST_THREADS:
            findings.warn("threads", what, "lower one of them", place)
        else:
            findings.note("threads", what, "", place)


def _tell_errors(settings: TaskSettings, findings: Findings) -> None:
    section = "ErrorBehavior"
    if settings.value(section, "DataMaskingErrorPolicy") != "STOP_TASK":
        what = "DataMaskingErrorPolicy other than STOP_TASK: DMS goes on with values that were not masked"
        place = settings.place(section, "DataMaskingErrorPolicy")
        findings.error("unmasked", what, "write STOP_TASK; nothing else is done here", place)
    for name in ("DataErrorPolicy", "DataTruncationErrorPolicy"):
        if settings.value(section, name) == "IGNORE_RECORD":
            what = f"{name} is IGNORE_RECORD: DMS drops rows in silence; here each is a dead letter"
            findings.warn("rows-dropped", what, "write LOG_ERROR", settings.place(section, name))
    if settings.value(section, "ApplyErrorUpdatePolicy") == "UPDATE_RECORD":
        what = "UPDATE_RECORD switches large objects off for the whole task in DMS; not here"
        findings.warn(
            "update-record", what, "nothing to do here", settings.place(section, "ApplyErrorUpdatePolicy")
        )
    if settings.value(section, "FailOnNoTablesCaptured") is False:
        what = "FailOnNoTablesCaptured is false: a task that replicates nothing looks healthy"
        findings.warn("no-tables", what, "write true", settings.place(section, "FailOnNoTablesCaptured"))


def _tell_tables(settings: TaskSettings, target: str, findings: Findings) -> None:
    mode = settings.value("FullLoadSettings", "TargetTablePrepMode")
    place = settings.place("FullLoadSettings", "TargetTablePrepMode")
    if mode in ("DROP_AND_CREATE", "TRUNCATE_BEFORE_LOAD"):
        what = f"{mode} empties the target when a task is started anew; here nothing is emptied"
        fix = "nothing to do; `replication-assets project --rebuild` replaces range by range"
        told = findings.warn if target == "s3" else findings.note
        told("destructive", what, fix, place)
    truncated = ("ChangeProcessingDdlHandlingPolicy", "HandleSourceTableTruncated")
    if target == "s3" and settings.value(*truncated) and settings.is_given(*truncated):
        place = settings.place(*truncated)
        what = "a TRUNCATE at the source deletes files of an S3 target in DMS; here events stay"
        findings.note("truncate", what, "", place)


def _tell_validation(settings: TaskSettings, target: str, findings: Findings) -> None:
    if target in ("dynamodb", "kafka", "kinesis") and settings.value(
        "ValidationSettings", "EnableValidation"
    ):
        what = f"DMS has no validation for {target}; here the projection is validated"
        place = settings.place("ValidationSettings", "EnableValidation")
        findings.note("validation", what, "", place)
    failures = settings.value("ValidationSettings", "FailureMaxCount")
    of_table = settings.value("ValidationSettings", "TableFailureMaxCount")
    if isinstance(failures, int) and isinstance(of_table, int) and of_table > failures:
        what = "TableFailureMaxCount is greater than FailureMaxCount, which is of the whole task"
        place = settings.place("ValidationSettings", "TableFailureMaxCount")
        findings.warn("failure-counts", what, "swap them", place)


def _tell_before_images(settings: TaskSettings, tables: Sequence[TableOutcome], findings: Findings) -> None:
    section = "BeforeImageSettings"
    if not settings.value(section, "EnableBeforeImage"):
        return
    place = settings.place(section, "EnableBeforeImage")
    if not settings.value(section, "FieldName"):
        what = "EnableBeforeImage is true, and there is no FieldName"
        findings.error("before-image-name", what, 'add "FieldName": "before-image"', place)
    if any(column.before for table in tables for column in table.columns):
        what = "BeforeImageSettings and a rule add-before-image-columns: DMS takes one of them for a task"
        findings.error("before-image-twice", what, "delete one of them", place)


def _tell_order(settings: TaskSettings, tables: Sequence[TableOutcome], findings: Findings) -> None:
    subtasks = settings.value("FullLoadSettings", "MaxFullLoadSubTasks")
    if isinstance(subtasks, int) and subtasks > 1 and any(table.load_order for table in tables):
        what = f"load-order says which load starts first; with {subtasks} at a time the next does not wait"
        place = settings.place("FullLoadSettings", "MaxFullLoadSubTasks")
        findings.note("load-order", what, "write 1 if a table needs another one whole", place)
