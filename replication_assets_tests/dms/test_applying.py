"""Mappings applied to tables: what is taken, what it is called, and which rule decided."""

from typing import Any

import pytest

from replication_assets.dms.applying import apply_mapping
from replication_assets.dms.findings import Finding
from replication_assets.dms.outcome import Mask, TableOutcome
from replication_assets.dms.report import target_key
from replication_assets.dms.samples import sample_rows, target_rows
from replication_assets_tests.dms.rules_text import (
    ACTOR,
    actor,
    include,
    mapping_of,
    names,
    outcome_of,
    tables_of,
    transform,
)

VIEW = {"schema": "test", "name": "actors", "type": "view", "columns": {"id": "int"}}
SYSTEM = {"schema": "pg_catalog", "name": "pg_class", "columns": {"oid": "int"}}


def test_an_exclude_rule_wins_over_every_include_wherever_it_stands() -> None:
    outcome = outcome_of(include("actor", action="exclude"), include("actor"), include("%", action="include"))
    assert outcome.tables == ()
    assert outcome.left_out[0].why == "rule 1 excludes it, which wins over every include"


def test_views_are_taken_only_where_the_locator_says_so() -> None:
    assert [str(t.source) for t in outcome_of(include(), tables=(ACTOR, VIEW)).tables] == ["test.actor"]
    both = outcome_of(include(locator={"table-type": "all"}), tables=(ACTOR, VIEW))
    assert [str(t.source) for t in both.tables] == ["test.actor", "test.actors"]


def test_names_are_taken_in_their_own_case_and_the_reason_is_told() -> None:
    outcome = outcome_of(include("Actor"))
    assert outcome.left_out[0].why == "rule 1 spells its name in another case"


def test_schemas_of_the_database_itself_are_never_taken_by_a_wildcard() -> None:
    outcome = outcome_of(include("%", "%"), tables=(ACTOR, SYSTEM))
    assert [str(t.source) for t in outcome.tables] == ["test.actor"]
    assert "no wildcard" in outcome.left_out[0].why


def test_tables_of_a_higher_load_order_come_first() -> None:
    other = ACTOR | {"name": "film"}
    outcome = outcome_of(
        include("actor", **{"load-order": "1"}), include("film", **{"load-order": "2"}), tables=(ACTOR, other)
    )
    assert [t.source.name for t in outcome.tables] == ["film", "actor"]


def test_a_schema_a_table_and_a_column_are_renamed() -> None:
    table = actor(
        transform("rename", "schema", value="test1", **{"schema-name": "test"}),
        transform("rename", "table", value="actor1", **{"table-name": "actor"}),
        transform("rename", value="fname", **{"table-name": "actor", "column-name": "first_name"}),
    )
    assert table.target == "test1.actor1"
    assert names(table)[1] == ("first_name", "fname")


def test_affixes_are_added_taken_and_replaced_only_where_they_are() -> None:
    table = actor(
        transform("add-prefix", "table", value="DMS_"),
        transform("replace-prefix", value="f_", **{"column-name": "%", "old-value": "first_"}),
    )
    assert table.target_table == "DMS_actor"
    assert [target for _, target in names(table)] == ["id", "f_name", "note", "paid"]


def test_of_two_rules_for_one_object_the_lower_id_wins_by_its_number() -> None:
    table = actor(
        transform("rename", value="ten", **{"column-name": "id", "rule-id": "10"}),
        transform("convert-uppercase", **{"column-name": "%", "rule-id": "9"}),
    )
    assert [target for _, target in names(table)] == ["ID", "FIRST_NAME", "NOTE", "PAID"]
    assert [(each.rule, each.by) for each in table.overridden] == [("10", "9")]


def test_a_rule_that_has_nothing_to_take_away_does_not_stand_in_the_way_of_others() -> None:
    table = actor(
        transform("remove-prefix", value="x_", **{"column-name": "%"}),
        transform("convert-uppercase", **{"column-name": "%"}),
    )
    assert names(table)[0] == ("id", "ID")


def test_a_change_of_type_goes_with_a_name() -> None:
    table = actor(
        transform("rename", value="ident", **{"column-name": "id"}),
        transform("change-data-type", **{"column-name": "id", "data-type": {"type": "int8"}}),
    )
    assert (table.columns[0].target, str(table.columns[0].type)) == ("ident", "int8")


def test_masks_run_one_after_the_other_in_the_order_of_their_ids() -> None:
    table = actor(
        transform("data-masking-hash-mask", **{"column-name": "first_name", "rule-id": "30"}),
        transform("data-masking-digits-mask", value="#", **{"column-name": "first_name", "rule-id": "20"}),
    )
    assert table.columns[1].masks == (Mask("data-masking-digits-mask", "#"), Mask("data-masking-hash-mask"))


def test_a_mask_of_a_type_that_it_does_not_know_is_an_error() -> None:
    outcome = outcome_of(include(), transform("data-masking-hash-mask", **{"column-name": "paid"}))
    assert [each.code for each in outcome.findings] == ["mask-type"]


def test_removed_columns_are_gone_and_with_include_column_all_others_are() -> None:
    removed = actor(transform("remove-column", **{"column-name": "n%"}))
    assert [each.source for each in removed.removed] == ["note"]
    included = actor(
        transform("include-column", **{"column-name": "id"}),
        transform("include-column", **{"column-name": "paid"}),
    )
    assert [target for _, target in names(included)] == ["id", "paid"]
    assert [each.source for each in included.removed] == ["first_name", "note"]


def test_a_locator_can_take_columns_by_their_type() -> None:
    table = actor(transform("add-suffix", value="_n", **{"column-name": "%", "data-type-name": "numeric"}))
    assert [target for _, target in names(table)] == ["id", "first_name", "note", "paid_n"]


def test_a_column_is_added_with_its_expression_and_type() -> None:
    table = actor(
        transform("add-column", value="FULL", expression="$first_name||'_'||$id",
                  **{"data-type": {"type": "string", "length": 50}})
    )  # fmt: skip
    added = table.columns[-1]
    assert (added.source, added.target, str(added.type)) == (None, "FULL", "string(50)")


def test_an_expression_with_a_column_that_the_table_lacks_is_an_error_and_so_is_one_in_another_case() -> None:
    outcome = outcome_of(
        include(), transform("add-column", value="x", expression="$Id", **{"data-type": {"type": "int8"}})
    )
    assert [(each.code, each.fix) for each in outcome.findings] == [
        ("unknown-column", "write $id: case counts")
    ]


def test_columns_of_the_values_before_are_added_as_the_filter_says() -> None:
    def targets(only: str) -> list[str]:
        image = {"column-prefix": "BI_", "column-suffix": "", "column-filter": only}
        table = actor(transform("add-before-image-columns", **{"before-image-def": image}))
        return [each.target for each in table.columns if each.before]

    assert targets("pk-only") == ["BI_id"]
    assert targets("non-lob") == ["BI_id", "BI_first_name", "BI_paid"]
    assert targets("all") == ["BI_id", "BI_first_name", "BI_note", "BI_paid"]


def test_a_key_is_defined_and_a_removed_key_column_is_told() -> None:
    key = {"name": "k", "columns": ["first_name"]}
    table = actor(transform("define-primary-key", "table", **{
        "schema-name": "test", "table-name": "actor", "primary-key-def": key}))  # fmt: skip
    assert table.key == ("first_name",)
    outcome = outcome_of(include(), transform("remove-column", **{"column-name": "id"}))
    assert [each.code for each in outcome.findings] == ["key-removed"]


def test_two_columns_or_tables_of_one_name_are_an_error() -> None:
    columns = outcome_of(include(), transform("rename", value="id", **{"column-name": "note"}))
    assert [each.code for each in columns.findings if each.severity == "error"] == ["column-collision"]
    tables = outcome_of(
        include(), transform("rename", "table", value="one"), tables=(ACTOR, ACTOR | {"name": "film"})
    )
    assert [each.code for each in tables.findings if each.severity == "error"] == ["table-collision"]


def test_a_rule_that_fits_no_table_is_told() -> None:
    outcome = outcome_of(include(), transform("remove-column", **{"table-name": "film", "column-name": "a"}))
    assert outcome.unused == ("2",)


def test_two_includes_with_other_filters_are_ambiguous() -> None:
    each = {"filter-type": "source", "column-name": "id", "filter-conditions": [{"filter-operator": "null"}]}
    outcome = outcome_of(include("actor", filters=[each]), include("%"))
    assert [each.code for each in outcome.findings] == ["ambiguous-filters"]


def test_without_tables_those_named_exactly_are_taken_and_their_columns_are_not_known() -> None:
    outcome = apply_mapping(mapping_of(include("actor"), include("film%")), None)
    assert [(str(t.source), t.columns_known) for t in outcome.tables] == [("test.actor", False)]


def test_tags_are_those_of_the_rule_that_fits_best_and_then_of_the_first() -> None:
    def tag(value: str, table: str, schema: str = "test") -> dict[str, object]:
        locator = {"schema-name": schema, "table-name": table}
        head = {"rule-type": "post-processing", "rule-action": "add-tag", "object-locator": locator}
        return head | {"tag-set": [{"key": "k", "value": value}]}

    mapping = mapping_of(include(), tag("wide", "%", "%"), tag("one", "actor"), tag("two", "actor"))
    (table,) = apply_mapping(mapping, tables_of(ACTOR)).tables
    assert table.tags == (("k", "one"),)


ITEM = {
    "schema": "test", "name": "item", "key": ["id"],
    "columns": {"id": "int", "no": "int", "part": "varchar(5)", "small": "smallint"},
    "rows": [{"id": 7, "no": 12, "part": "a1", "small": 2}],
}  # fmt: skip


def item(*rules: dict[str, Any]) -> tuple[TableOutcome, list[Finding]]:
    outcome = outcome_of(include(), *rules, tables=(ITEM,))
    return outcome.tables[0], list(outcome.findings)


def key_of(*columns: str) -> dict[str, Any]:
    key = {"name": "k", "columns": [*columns]}
    about = {"schema-name": "test", "table-name": "item"}
    return transform("define-primary-key", "table", **about, **{"primary-key-def": key})


def test_a_defined_key_may_use_the_names_of_the_target_and_is_told_under_both() -> None:
    table, findings = item(
        key_of("no", "piece"), transform("rename", value="piece", **{"column-name": "part"})
    )
    assert (findings, table.key, target_key(table)) == ([], ("no", "part"), ("no", "piece"))


def test_a_defined_key_of_an_unknown_column_is_an_error() -> None:
    _, findings = item(key_of("No"))
    assert [(each.code, each.fix) for each in findings] == [("unknown-column", "write 'no': case counts")]


@pytest.mark.parametrize("wanted", ["int4", "int", "INT"])
def test_columns_are_taken_by_the_type_of_dms_and_by_that_of_the_source(wanted: str) -> None:
    table, _ = item(
        transform("change-data-type", **{
            "column-name": "%", "data-type-name": wanted, "data-type": {"type": "int8"}})
    )  # fmt: skip
    assert [str(each.type) for each in table.columns] == ["int8", "int8", "wstring(5)", "int2"]


def test_a_validation_function_of_a_key_is_refused() -> None:
    def override(column: str) -> dict[str, Any]:
        head = {"rule-type": "validation", "rule-target": "column", "source-function": "trim(${column-name})"}
        locator = {"schema-name": "test", "table-name": "item", "column-name": column}
        return head | {"rule-action": "override-validation-function", "object-locator": locator}

    assert [each.code for each in item(override("id"))[1]] == ["validation-of-key"]
    table, findings = item(override("part"))
    assert (len(table.validations), findings) == (1, [])


def test_an_added_column_is_masked_too_and_one_that_copies_a_masked_one_is_told() -> None:
    text = {"data-type": {"type": "string", "length": 10}}
    added = transform("add-column", value="copy", expression="$part", **text)
    mask = transform("data-masking-digits-mask", value="#", **{"column-name": "part"})
    table, findings = item(added, mask)
    assert (table.columns[-1].masks, [each.code for each in findings]) == ((), ["unmasked-copy"])
    table, findings = item(added, mask | {"object-locator": mask["object-locator"] | {"column-name": "%p%"}})
    assert (table.columns[-1].masks, findings) == ((Mask("data-masking-digits-mask", "#"),), [])
    (row,) = target_rows(table, sample_rows(table.source))
    assert row == {"id": 7, "no": 12, "part": "a#", "small": 2, "copy": "a#"}


def test_an_added_column_without_a_mask_of_its_type_is_as_it_is() -> None:
    text = {"data-type": {"type": "string", "length": 64}}
    table, _ = item(
        transform("add-column", value="p", expression="upper($part)", **text),
        transform("data-masking-hash-mask", **{"column-name": "p", "data-type-name": "nclob"}),
    )
    assert target_rows(table, sample_rows(table.source))[0]["p"] == "A1"
