"""Task settings: every one is honoured, safer, or named with the reason why it is not needed."""

import json
from typing import Any

import pytest

from replication_assets.dms.settings.combinations import dangers
from replication_assets.dms.settings.reading import TaskSettings, read_settings
from replication_assets.dms.settings.sections import SECTIONS
from replication_assets.dms.task import is_settings
from replication_assets_tests.dms.rules_text import include, outcome_of, transform


def settings_of(**sections: Any) -> TaskSettings:
    return read_settings(json.dumps(sections), "s.json")


def told(settings: TaskSettings, target: str = "") -> set[str]:
    return {each.code for each in (*settings.findings, *dangers(settings, (), target))}


def test_the_default_of_every_setting_is_accepted_and_has_a_verdict() -> None:
    document = {
        name: {key: each.default for key, each in section.items()} for name, section in SECTIONS.items()
    }
    settings = settings_of(**document)
    assert settings.findings == ()
    assert len(settings.given) == sum(len(section) for section in SECTIONS.values())
    assert all(each.here and not each.changed for each in settings.given)


def test_numbers_and_booleans_may_be_texts() -> None:
    settings = settings_of(FullLoadSettings={"CommitRate": "50000", "CreatePkAfterFullLoad": "True"})
    assert settings.findings == ()
    assert settings.value("FullLoadSettings", "CommitRate") == 50_000
    assert settings.value("FullLoadSettings", "CreatePkAfterFullLoad") is True


@pytest.mark.parametrize(
    ("document", "code", "fix"),
    [
        ({"FullLoadSettings": {"TargetSchema": ""}}, "wrong-section", "move it to TargetMetadata"),
        ({"LobMaxSize": 32}, "wrong-section", "move it into TargetMetadata"),
        ({"FullLoadSettings": {"StopTaskCachedSourceApplied": False}}, "unknown-setting",
         "did you mean 'StopTaskCachedChangesApplied'?"),
        ({"FullLoadSetting": {}}, "unknown-section", "did you mean 'FullLoadSettings'?"),
        ({"FullLoadSettings": {"MaxFullLoadSubTasks": 50}}, "out-of-range", "it is 1 to 49"),
        ({"FullLoadSettings": {"CommitRate": "many"}}, "wrong-type", "write one, as 10000"),
        ({"FullLoadSettings": {"TargetTablePrepMode": "DELETE"}}, "unknown-word", "use one of DO_NOTHING"),
        ({"TargetMetadata": []}, "wrong-type", "write {...}"),
        ({"Logging": {"CloudWatchLogGroup": "x"}}, "read-only", "delete it"),
    ],
)  # fmt: skip
def test_what_dms_would_not_read_is_told_with_its_fix(document: dict[str, Any], code: str, fix: str) -> None:
    found = [each for each in settings_of(**document).findings if each.code == code]
    assert found[0].fix.startswith(fix)


@pytest.mark.parametrize(
    ("document", "target", "code"),
    [
        ({"TargetMetadata": {"BatchApplyEnabled": True}}, "s3", "batch-apply"),
        ({"TargetMetadata": {"BatchApplyEnabled": True, "FullLobMode": True}}, "", "batch-apply-lobs"),
        ({"TargetMetadata": {"FullLobMode": True, "LimitedSizeLobMode": True}}, "", "lob-modes"),
        ({"TargetMetadata": {"LobMaxSize": 32}}, "", "lob-truncation"),
        ({"TargetMetadata": {"SupportLobs": False}}, "", "lobs-left-out"),
        ({"TargetMetadata": {"ParallelLoadThreads": 200}}, "", "threads"),
        ({"ErrorBehavior": {"DataMaskingErrorPolicy": "LOG_ERROR"}}, "", "unmasked"),
        ({"ErrorBehavior": {"DataErrorPolicy": "IGNORE_RECORD"}}, "", "rows-dropped"),
        ({"FullLoadSettings": {"TargetTablePrepMode": "DROP_AND_CREATE"}}, "", "destructive"),
        ({"ValidationSettings": {"FailureMaxCount": 1, "TableFailureMaxCount": 2}}, "", "failure-counts"),
    ],
)  # fmt: skip
def test_a_dangerous_combination_is_told(document: dict[str, Any], target: str, code: str) -> None:
    assert code in told(settings_of(**document), target)


def test_what_dms_sets_by_default_is_no_warning() -> None:
    """As the console makes a task, and the API describes it."""
    document = {
        name: {key: each.default for key, each in section.items()} for name, section in SECTIONS.items()
    }
    document["FullLoadSettings"]["TargetTablePrepMode"] = "DROP_AND_CREATE"
    settings = settings_of(**document, CharacterSetSettings=None, Logging={"EnableLogging": True})
    notes = dangers(settings)
    assert settings.findings == ()
    assert {each.code for each in notes} == {"lob-truncation", "destructive"}
    assert {each.severity for each in notes} == {"note"}


def test_large_objects_that_dms_cuts_and_files_that_it_deletes_are_warnings() -> None:
    tables = outcome_of(include("actor")).tables
    limited = settings_of(TargetMetadata={"LimitedSizeLobMode": True})
    (cut,) = dangers(limited, tables)
    assert (cut.severity, "test.actor.note" in cut.what) == ("warning", True)
    emptied = settings_of(FullLoadSettings={"TargetTablePrepMode": "TRUNCATE_BEFORE_LOAD"})
    found = {each.code: each.severity for each in dangers(emptied, (), "s3")}
    assert found["destructive"] == "warning"


def test_null_stands_for_the_default() -> None:
    settings = settings_of(TargetMetadata={"LobMaxSize": None}, PostProcessingRules=None)
    assert settings.findings == ()
    assert settings.value("TargetMetadata", "LobMaxSize") == 32


def test_the_two_groups_of_time_travel_are_settings_by_their_full_names() -> None:
    settings = settings_of(
        TTSettings={
            "EnableTT": True,
            "TTS3Settings": {"BucketName": "b", "EnableDeletingFromS3OnTaskDelete": "true"},
            "TTRecordSettings": {"OperationsToLog": "DELETE,UPDATE", "MaxRecordSiz": 1},
        }
    )
    assert settings.value("TTSettings", "TTS3Settings.EnableDeletingFromS3OnTaskDelete") is True
    assert settings.value("TTSettings", "TTRecordSettings.OperationsToLog") == "DELETE,UPDATE"
    assert [each.fix for each in settings.findings] == ["did you mean 'TTRecordSettings.MaxRecordSize'?"]
    assert settings_of(TTSettings={"TTS3Settings": None, "TTRecordSettings": None}).findings == ()


def test_before_images_are_asked_for_once_and_have_a_name() -> None:
    image = {"EnableBeforeImage": True, "FieldName": "before-image", "ColumnFilter": "pk-only"}
    assert not told(settings_of(BeforeImageSettings=image)) & {"before-image-name", "before-image-twice"}
    assert "before-image-name" in told(settings_of(BeforeImageSettings=image | {"FieldName": ""}))
    rule = transform("add-before-image-columns", **{"before-image-def": {"column-filter": "pk-only"}})
    tables = outcome_of(include(), rule).tables
    found = dangers(settings_of(BeforeImageSettings=image), tables)
    assert "before-image-twice" in {each.code for each in found}


def test_a_file_of_settings_is_known_by_its_sections_also_misspelled() -> None:
    assert is_settings('{"DataResyncSettings": {}}', "s.json")
    assert is_settings('{"fullloadsettings": {}}', "s.json")
    assert not is_settings('{"Rules": []}', "m.json")
    assert not is_settings('{"selection": []}', "m.json")
    found = settings_of(DataResyncSettings={}).findings
    assert [each.fix for each in found] == ["did you mean 'ResyncSettings'?"]


def test_components_that_log_and_their_severities_are_those_of_dms() -> None:
    def told_of(*components: object) -> list[str]:
        return [each.code for each in settings_of(Logging={"LogComponents": list(components)}).findings]

    assert told_of({"Id": "SOURCE_UNLOAD", "Severity": "LOGGER_SEVERITY_DETAILED_DEBUG"}) == []
    assert told_of({"Id": "SOURCE_UNLOADS", "Severity": "DEBUG"}) == ["unknown-word", "unknown-word"]
    assert told_of({"Id": "IO"}, "IO") == ["missing-member", "wrong-type"]


def test_a_load_order_is_no_barrier_where_several_tables_load_at_a_time() -> None:
    tables = outcome_of(include("actor") | {"load-order": 2}).tables

    def codes(subtasks: int) -> set[str]:
        settings = settings_of(FullLoadSettings={"MaxFullLoadSubTasks": subtasks})
        return {each.code for each in dangers(settings, tables)}

    assert "load-order" in codes(8)
    assert "load-order" not in codes(1)
