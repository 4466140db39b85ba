"""All sections of task settings, by their names."""

from __future__ import annotations

from replication_assets.dms.settings.known import Free, Section, Setting
from replication_assets.dms.settings.loading import (
    BEFORE_IMAGE,
    CHANGE_TUNING,
    DDL,
    FULL_LOAD,
    STREAM_BUFFER,
    TARGET_METADATA,
)
from replication_assets.dms.settings.running import (
    CONTROL,
    ERRORS,
    LOOPBACK,
    RESYNC,
    TIME_TRAVEL,
    VALIDATION,
)

SECTIONS: dict[str, Section] = {
    "TargetMetadata": TARGET_METADATA,
    "FullLoadSettings": FULL_LOAD,
    "ErrorBehavior": ERRORS,
    "ChangeProcessingTuning": CHANGE_TUNING,
    "ChangeProcessingDdlHandlingPolicy": DDL,
    "StreamBufferSettings": STREAM_BUFFER,
    "ControlTablesSettings": CONTROL,
    "ValidationSettings": VALIDATION,
    "TTSettings": TIME_TRAVEL,
    "LoopbackPreventionSettings": LOOPBACK,
    "BeforeImageSettings": BEFORE_IMAGE,
    "ResyncSettings": RESYNC,
}

FREE: dict[str, Free] = {
    "Logging": Free(
        "not-applicable",
        "runs log to Dagster, always with table and position, never with values",
        (
            "EnableLogging",
            "EnableLogContext",
            "LogComponents",
            "CloudWatchLogGroup",
            "CloudWatchLogStream",
            "LogConfiguration",
        ),
    ),
    "CharacterSetSettings": Free(
        "not-applicable",
        "texts are Unicode throughout; characters that a target cannot hold are dead letters, not replaced",
        ("CharacterReplacements", "CharacterSetSupport"),
    ),
    "PostProcessingRules": Free("not-applicable", "no objects of S3 are tagged"),
    "FailTaskWhenCleanTaskResourceFailed": Free("not-applicable", "a run leaves nothing behind to clean"),
}
"""Sections whose members are lists, or that are no objects."""

MOVED = {
    "StopTaskCachedSourceApplied": "StopTaskCachedChangesApplied",
    "StopTaskCachedSourceNotApplied": "StopTaskCachedChangesNotApplied",
    "ControlTableSettings": "ControlTablesSettings",
    "DataResyncSettings": "ResyncSettings",
}
"""Keys as they are found in articles, and as they are."""


def sections_of(setting: str) -> tuple[str, ...]:
    """Sections that have a setting of this name."""
    return tuple(name for name, section in SECTIONS.items() if setting in section)


def setting(section: str, name: str) -> Setting | None:
    return SECTIONS.get(section, {}).get(name)
