"""`dms import`: the printed catalog loads, in Python and in YAML, and does what the files say."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication_assets.catalog import (
    Attribute,
    ByBounds,
    ByCount,
    Catalog,
    Compare,
    Computed,
    DeltaProjection,
    DynamoDbProjection,
    EnvVar,
    MySqlSourceConfig,
    MySqlTarget,
    OracleSourceConfig,
    OracleTarget,
    PostgresSourceConfig,
    PostgresTarget,
    Refusals,
    Shape,
    SqliteSourceConfig,
    SqliteTarget,
    SqlProjection,
    SqlServerSourceConfig,
    SqlServerTarget,
    Where,
    WriteCondition,
)
from replication_assets.cli.app import make_app
from replication_assets.components.yaml_catalog import load_yaml_catalog
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.shapes import Shaping
from replication_assets.dms.compiling import compile_task
from replication_assets.dms.samples import sample_rows, table_schema
from replication_assets.dms.task import read_task
from replication_assets_tests.dms.rules_text import ACTOR, include, tables_of, transform

OWN = EnvVar("APP_PASSWORD")
PASSWORD = EnvVar("TARGET_PASSWORD")
SEEDS = Path(__file__).parent / "seeds"
ORDERS = [str(SEEDS / f"table_mappings{n}.json") for n in (1, 2, 3, 4)] + [str(SEEDS / "task_settings.json")]


def imported(folder: Path, *arguments: str) -> Catalog:
    """The catalog as Python has it, which is also what YAML has."""
    found = []
    for name in ("python", "yaml"):
        result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *arguments, "--format", name])
        assert result.exit_code == 0, result.output
        found.append(result.stdout)
    names: dict[str, Any] = {}
    exec(found[0], names)
    (folder / "defs.yaml").write_text(found[1])
    assert load_yaml_catalog(folder / "defs.yaml") == names["catalog"]
    catalog: Catalog = names["catalog"]
    return catalog.validate()


def files_of(folder: Path, *rules: dict[str, Any], settings: dict[str, Any] | None = None) -> list[str]:
    numbered = [{"rule-id": str(at), "rule-name": f"r{at}", **rule} for at, rule in enumerate(rules, 1)]
    each_in_its_line = ",\n".join(json.dumps(rule) for rule in numbered)
    (folder / "m.json").write_text(f'{{"rules": [{each_in_its_line}]}}')
    (folder / "t.json").write_text(json.dumps({"tables": [ACTOR]}))
    (folder / "s.json").write_text(json.dumps(settings or {}))
    return [str(folder / "m.json"), str(folder / "s.json"), "--tables", str(folder / "t.json")]


def test_four_range_files_and_their_settings_are_one_table_and_one_projection(tmp_path: Path) -> None:
    catalog = imported(tmp_path, *ORDERS, "--source", "orders")
    (source,), (table,), (projection,) = catalog.sources, catalog.tables, catalog.projections
    assert isinstance(source, PostgresSourceConfig)
    assert (source.max_parallel_loads, source.load_wait_seconds) == (8, 600)
    assert table.id_ranges == ByBounds((100_000_001, 200_000_001, 300_000_001))
    assert table.range_column == "Id"
    assert isinstance(projection, DynamoDbProjection)
    assert (projection.connections, projection.refusals, projection.shapes) == (16, Refusals(), ())
    assert projection.items[0].exclude == ("Id",)


def test_filters_are_of_the_table_and_names_and_expressions_a_shape(tmp_path: Path) -> None:
    each = {
        "filter-type": "source", "column-name": "id",
        "filter-conditions": [{"filter-operator": "ste", "value": "9"}, {"filter-operator": "null"}],
    }  # fmt: skip
    files = files_of(
        tmp_path,
        include("actor", filters=[each]),
        transform("rename", value="name", **{"column-name": "first_name"}),
        transform("remove-column", **{"column-name": "note"}),
        transform("add-column", value="both", expression="$id||$first_name",
                  **{"data-type": {"type": "string", "length": 60}}),
    )  # fmt: skip
    catalog = imported(tmp_path, *files, "--source", "app")
    assert catalog.tables[0].where == (Where("id", [Compare("lte", ["9"]), Compare("null")]),)
    (projection,) = catalog.projections
    assert isinstance(projection, DeltaProjection)
    assert projection.shapes == (
        Shape(
            "app.test.actor",
            exclude=["note"],
            rename={"first_name": "name"},
            computed=[Computed("both", "$id||$first_name", "string(60)")],
        ),
    )


def test_renamed_schemas_and_tables_are_called_so_in_the_lakehouse(tmp_path: Path) -> None:
    files = files_of(
        tmp_path,
        include("actor"),
        transform("convert-uppercase", "schema"),
        transform("add-prefix", "table", value="raw_"),
    )
    (projection,) = imported(tmp_path, *files, "--source", "app").projections
    assert projection.tables == ("app.test.actor",)
    assert projection.shapes == (Shape("app.test.actor", schema="TEST", name="raw_actor"),)


def test_changed_types_are_those_of_the_shape_in_the_key_too(tmp_path: Path) -> None:
    files = files_of(
        tmp_path,
        include("actor"),
        transform("rename", value="name", **{"column-name": "first_name"}),
        transform("change-data-type", **{"column-name": "first_name",
                  "data-type": {"type": "string", "length": 20}}),
        transform("change-data-type", **{"column-name": "id",
                  "data-type": {"type": "numeric", "precision": 12, "scale": 2}}),
    )  # fmt: skip
    (projection,) = imported(tmp_path, *files, "--source", "app").projections
    types = {"id": "numeric(12, 2)", "first_name": "string(20)"}
    assert projection.shapes == (Shape("app.test.actor", rename={"first_name": "name"}, types=types),)


@pytest.mark.parametrize(
    ("engine", "target"),
    [
        ("aurora-postgresql", PostgresTarget(host="there", database="crm", user="w", password=PASSWORD)),
        ("mysql", MySqlTarget(host="there", user="w", password=PASSWORD,
                              sslrootcert="/etc/ssl/certs/ca-certificates.crt")),
        ("sqlserver", SqlServerTarget(host="there", database="crm", user="w", password=PASSWORD)),
        ("oracle", OracleTarget(host="there", service="crm", user="w", password=PASSWORD)),
        ("sqlite", SqliteTarget("crm")),
    ],
)  # fmt: skip
def test_tables_go_to_a_database_of_the_target_endpoints_engine(
    tmp_path: Path, engine: str, target: Any
) -> None:
    files = files_of(tmp_path, include("actor"), transform("rename", "table", value="players"))
    there = ("--target-host", "there", "--target-database", "crm", "--target-user", "w")
    (projection,) = imported(tmp_path, *files, "--source", "app", "--target", engine, *there).projections
    shapes = [Shape("app.test.actor", name="players")]
    # A server of MySQL has a database for each schema, unless one is named.
    into = "crm" if engine == "mysql" else None
    wanted = SqlProjection("copy", tables=["app.test.actor"], target=target, shapes=shapes, into=into)
    assert projection == wanted


@pytest.mark.parametrize(
    ("engine", "wanted"),
    [
        ("mysql", MySqlSourceConfig("app", host="h", user="u", password=OWN, load_wait_seconds=60)),
        ("sqlserver", SqlServerSourceConfig("app", host="h", database="d", user="u", password=OWN)),
        ("oracle", OracleSourceConfig("app", host="h", service="d", user="u", password=OWN)),
        ("sqlite", SqliteSourceConfig("app", path="d")),
    ],
)
def test_the_source_is_of_the_engine_that_is_named(tmp_path: Path, engine: str, wanted: Any) -> None:
    there = ("--engine", engine, "--host", "h", "--database", "d", "--user", "u", "--source", "app")
    (source,) = imported(tmp_path, *files_of(tmp_path, include("actor")), *there).sources
    assert source == wanted


def test_an_engine_that_no_projection_writes_to_is_refused(tmp_path: Path) -> None:
    files = files_of(tmp_path, include("actor"))
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *files, "--target", "redshift"])
    assert result.exit_code == 2
    assert "no projection writes to 'redshift'" in result.stderr


@pytest.mark.parametrize(
    ("errors", "refusals"),
    [
        ({"DataErrorPolicy": "IGNORE_RECORD"}, Refusals("dead-letter")),
        ({"DataErrorPolicy": "SUSPEND_TABLE"}, Refusals("suspend")),
        ({"DataTruncationErrorPolicy": "STOP_TASK"}, Refusals("stop")),
        ({"DataErrorEscalationCount": 5}, Refusals(escalate_after=5, escalate_to="suspend")),
        ({"DataErrorEscalationCount": 5, "DataErrorEscalationPolicy": "STOP_TASK"},
         Refusals(escalate_after=5, escalate_to="stop")),
    ],
)  # fmt: skip
def test_error_policies_are_refusals(tmp_path: Path, errors: dict[str, Any], refusals: Refusals) -> None:
    files = files_of(tmp_path, include("actor"), settings={"ErrorBehavior": errors})
    (projection,) = imported(tmp_path, *files).projections
    assert projection.refusals == refusals


def test_segments_are_id_ranges_and_a_task_without_validation_has_it_on_demand(tmp_path: Path) -> None:
    segments = {
        "rule-type": "table-settings", "object-locator": {"schema-name": "test", "table-name": "actor"},
        "parallel-load": {"type": "ranges", "columns": ["id"], "boundaries": [["200"], ["100"]]},
    }  # fmt: skip
    settings = {"ValidationSettings": {"EnableValidation": False}}
    catalog = imported(tmp_path, *files_of(tmp_path, include("actor"), segments, settings=settings))
    assert catalog.tables[0].id_ranges == ByBounds((100, 200))
    assert catalog.projections[0].validation.cron is None


@pytest.mark.parametrize(
    ("load", "column", "ranges"),
    [
        ({"columns": ["born"], "boundaries": [["1998-01-01 00:00:00"], ["2000-01-01 00:00:00"]]}, None,
         ByCount(3)),
        ({"columns": ["price", "id"], "boundaries": [["1.5", "7"]]}, None, ByCount(2)),
        ({"columns": ["name"], "boundaries": [["n"]]}, "name", ByBounds(("n",))),
        ({"columns": ["elsewhere"], "boundaries": [["1998-01-01"]]}, None, ByCount(2)),
    ],
)  # fmt: skip
def test_segments_that_id_ranges_are_not_cut_by_are_cut_by_the_key(
    load: dict[str, Any], column: str | None, ranges: Any
) -> None:
    columns = {"id": "int", "name": "varchar(9)", "born": "date", "price": "numeric(9,2)"}
    table = {"schema": "test", "name": "actor", "key": ["id"], "columns": columns}
    settings = {
        "rule-type": "table-settings", "object-locator": {"schema-name": "test", "table-name": "actor"},
        "parallel-load": {"type": "ranges", **load},
    }  # fmt: skip
    rules = [{"rule-id": str(at), **rule} for at, rule in enumerate((include("actor"), settings), 1)]
    task = read_task({"m.json": json.dumps({"rules": rules})}, tables_of(table))
    found = compile_task(task, source="app", region="eu-west-1", lake="./lake")
    assert (found.tables[0].range_column, found.tables[0].id_ranges) == (column, ranges)
    dated = read_task({"m.json": json.dumps({"rules": rules})}, tables_of(table | {"key": ["born"]}))
    if column is None:
        found = compile_task(dated, source="app", region="eu-west-1", lake="./lake")
        assert found.tables[0].id_ranges == ByCount(1)


IMAGE = {"column-prefix": "BI_", "column-filter": "pk-only"}


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (transform("data-masking-digits-randomize", **{"column-name": "first_name"}), "gets random digits"),
        (transform("remove-column", **{"column-name": "id"}), "in the key"),
        (transform("add-before-image-columns", **{"before-image-def": IMAGE}), "before an update"),
        (transform("add-column", value="op", expression="operation_indicator('D','U','I')",
                   **{"data-type": {"type": "string", "length": 1}}), "tells of a change"),
        ({"rule-type": "object-mapping", "rule-action": "map-record-to-document", "kafka-target-topic": "t",
          "object-locator": {"schema-name": "test", "table-name": "actor"},
          "mapping-parameters": {"partition-key-type": "transaction-id"}}, "transaction-id"),
        ({"rule-type": "table-settings", "object-locator": {"schema-name": "test", "table-name": "actor"},
          "parallel-load": {"type": "partitions-list", "partitions": ["p1"]}}, "listed partitions"),
    ],
)  # fmt: skip
def test_what_no_declaration_says_is_refused_by_name(
    tmp_path: Path, rule: dict[str, Any], named: str
) -> None:
    files = files_of(tmp_path, include("actor"), rule)
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *files])
    assert result.exit_code == 2
    assert named in result.stderr
    # The rule at fault stands in the second line of the file.
    assert f"{files[0]}:2:" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"rule-type": "validation", "rule-target": "column", "rule-action": "override-validation-function",
          "object-locator": {"schema-name": "%", "table-name": "%", "column-name": "note"},
          "source-function": "trim(${column-name})"}, "functions for validation are not applicable"),
        ({"rule-type": "post-processing", "rule-action": "add-tag", "tag-set": [{"key": "k", "value": "v"}],
          "object-locator": {"schema-name": "%", "table-name": "%"}}, "no projection tags what it writes"),
        (transform("rename", "table-tablespace", value="fast"), "table-tablespace is not applicable"),
    ],
)  # fmt: skip
def test_what_changes_no_data_and_is_not_there_is_named_and_does_not_stand_in_the_way(
    tmp_path: Path, rule: dict[str, Any], named: str
) -> None:
    files = files_of(tmp_path, include("actor"), rule)
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *files])
    assert result.exit_code == 0
    assert result.stderr.count(named) == 1
    assert "test.actor" in result.stdout


def test_tables_of_listed_partitions_are_loaded_whole_if_that_is_said(tmp_path: Path) -> None:
    listed = {
        "rule-type": "table-settings", "object-locator": {"schema-name": "test", "table-name": "actor"},
        "parallel-load": {"type": "partitions-list", "partitions": ["p1", "p2"]},
    }  # fmt: skip
    files = files_of(tmp_path, include("actor"), listed)
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", *files, "--all-partitions"])
    assert result.exit_code == 0
    assert "all partitions of test.actor are loaded" in result.stderr
    assert "ByCount(8)" in result.stdout


def test_a_column_that_takes_the_name_of_a_removed_one_reaches_the_items(tmp_path: Path) -> None:
    rules = [
        include("actor"),
        transform("remove-column", **{"column-name": "note"}),
        transform("rename", value="note", **{"column-name": "first_name"}),
        {"rule-type": "object-mapping", "rule-action": "map-record-to-record", "target-table-name": "actors",
         "object-locator": {"schema-name": "test", "table-name": "actor"},
         "mapping-parameters": {"partition-key-name": "id", "exclude-columns": ["paid"]}},
    ]  # fmt: skip
    catalog = imported(tmp_path, *files_of(tmp_path, *rules))
    (projection,) = catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    (shape,) = projection.shapes
    assert (tuple(shape.exclude), shape.rename) == (("note",), {"first_name": "note"})
    assert list(projection.items[0].exclude) == ["paid"]
    used = rules[3] | {
        "mapping-parameters": {
            "partition-key-name": "id",
            "attribute-mappings": [{"target-attribute-name": "x", "value": "a ${note}"}],
        }
    }
    result = CliRunner().invoke(
        make_app(plain=True), ["dms", "import", *files_of(tmp_path, *rules[:3], used)]
    )
    assert result.exit_code == 2
    assert "'note' is removed and used by the object mapping" in result.stderr


def test_rules_about_columns_that_are_not_known_are_refused(tmp_path: Path) -> None:
    files = files_of(tmp_path, include("actor"), transform("convert-uppercase", **{"column-name": "%"}))
    result = CliRunner().invoke(make_app(plain=True), ["dms", "import", files[0]])
    assert result.exit_code == 2
    assert "--tables" in result.stderr


def test_settings_that_dms_does_not_read_do_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "tables.json").write_text(json.dumps({"tables": [ACTOR]}))
    files = [str(SEEDS / "lakehouse_mapping.json"), str(SEEDS / "lakehouse_settings.json")]
    catalog = imported(tmp_path, *files, "--tables", str(tmp_path / "tables.json"))
    assert [table.path for table in catalog.tables] == ["source.test.actor"]


def test_masks_are_computed_columns_of_the_same_name_and_changed_types_are_types(tmp_path: Path) -> None:
    digits = transform("data-masking-digits-mask", value="'", **{"column-name": "first_name"})
    files = files_of(
        tmp_path,
        include("actor"),
        transform("rename", value="name", **{"column-name": "first_name"}),
        digits,
        transform("data-masking-hash-mask", **{"column-name": "first_name"}),
        transform("change-data-type", **{"column-name": "paid", "data-type": {
            "type": "string", "length": 20}}),
        transform("add-column", value="of", expression="$AR_M_SOURCE_SCHEMA||'.'||${AR_M_SOURCE_TABLE_NAME}",
                  **{"data-type": {"type": "string", "length": 60}}),
    )  # fmt: skip
    (projection,) = imported(tmp_path, *files, "--source", "app").projections
    assert isinstance(projection, DeltaProjection)
    (shape,) = projection.shapes
    masked = "hash_sha256(replaceChars(${first_name}, '0123456789', ''''))"
    assert shape == Shape(
        "app.test.actor",
        exclude=["first_name"],
        computed=[
            Computed("name", masked, "wstring(64)"),
            Computed("of", "'test'||'.'||'actor'", "string(60)"),
        ],
        types={"paid": "string(20)"},
    )
    source = tables_of(ACTOR | {"rows": [{"id": 1, "first_name": "Ann1", "paid": 2.5}]})[0]
    shaped = Shaping(shape, table_schema(source)).shaped(sample_rows(source))
    hashed = hashlib.sha256(b"Ann'").hexdigest().upper()
    assert shaped.select(["id", "name", "paid", "of"]).to_pylist() == [
        {"id": 1, "name": hashed, "paid": "2.50", "of": "test.actor"}
    ]


def test_items_are_made_of_masked_columns(tmp_path: Path) -> None:
    files = files_of(
        tmp_path,
        include("actor"),
        transform("data-masking-digits-mask", value="#", **{"column-name": "first_name"}),
        {"rule-type": "object-mapping", "rule-action": "map-record-to-record", "target-table-name": "actors",
         "object-locator": {"schema-name": "test", "table-name": "actor"},
         "mapping-parameters": {"partition-key-name": "pk", "exclude-columns": ["note", "paid"],
                                "attribute-mappings": [
                                    {"target-attribute-name": "pk", "value": "a#${first_name}"}]}},
    )  # fmt: skip
    (projection,) = imported(tmp_path, *files, "--source", "app").projections
    assert isinstance(projection, DynamoDbProjection)
    source = tables_of(ACTOR | {"rows": [{"id": 1, "first_name": "B52", "note": "secret", "paid": 2.5}]})[0]
    shaping = Shaping(projection.shapes[0], table_schema(source))
    shaped = ItemMapping(projection.items[0], shaping.schema).convert(shaping.shaped(sample_rows(source)))
    assert [json.loads(each) for each in shaped.items.column("item").to_pylist()] == [
        {"pk": {"S": "a#B##"}, "id": {"N": "1"}, "first_name": {"S": "B##"}}
    ]


def test_a_renamed_table_is_read_under_its_new_name(tmp_path: Path) -> None:
    from replication_assets.replication import Replication

    files = files_of(tmp_path, include("actor"), transform("convert-uppercase", "table"))
    catalog = imported(tmp_path, *files, "--source", "app", "--lake", str(tmp_path / "lake"))
    target = Replication(catalog).target(catalog.projections[0], catalog.tables[0].id)
    assert repr(target) == f"DeltaTarget({str(tmp_path / 'lake' / 'app' / 'test.ACTOR')!r})"


def test_a_condition_expression_is_the_condition_of_the_items(tmp_path: Path) -> None:
    """The documentation's own sample: a row replaces no later version of itself."""
    condition = {
        "expression": "attribute_not_exists(version) or version <= :record_version",
        "expression-attribute-values": [{"name": ":record_version", "value": {"S": "${NAME}"}}],
        "apply-during-cdc": "true",
    }
    mapping = {
        "rule-type": "object-mapping", "rule-action": "map-record-to-record", "target-table-name": "actors",
        "object-locator": {"schema-name": "test", "table-name": "actor"},
        "mapping-parameters": {"partition-key-name": "id", "condition-expression": condition},
    }  # fmt: skip
    renamed = transform("rename", value="NAME", **{"column-name": "first_name"})
    catalog = imported(tmp_path, *files_of(tmp_path, include("actor"), renamed, mapping), "--source", "app")
    (projection,) = catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    assert projection.items[0].condition == WriteCondition(
        "attribute_not_exists(version) or version <= :record_version",
        values=[Attribute(":record_version", "${NAME}", type="string")],
        on_load=True,
        on_change=True,
    )
