"""What is wrong with policies, environments and refreshes is told at load, all of it, with the way out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from replication_assets.catalog import (
    Catalog,
    DeltaProjection,
    EnvVar,
    EventStoreConfig,
    PostgresSourceConfig,
    PythonHook,
    Table,
)
from replication_assets.catalog_rules.cron import cron_problems
from replication_assets.catalog_rules.refreshes import LEGAL
from replication_assets.declarations import (
    AfterLoad,
    ColumnPolicy,
    DatabaseTarget,
    Environment,
    EnvironmentRefresh,
    MaskingPolicy,
    MySqlTarget,
    Namespace,
    OneTime,
    PostgresTarget,
    Schedule,
    SeedRows,
    SqlHook,
    SqliteTarget,
    Subset,
    TablePolicy,
)
from replication_assets.masks import (
    Choice,
    DateShift,
    DigitsMask,
    Generalise,
    JsonPaths,
    Keep,
    Noise,
    Partial,
    Phone,
    PythonRule,
    RandomRange,
    RegexReplace,
    Token,
    XmlPaths,
)

CUSTOMERS = "shop.public.customers"
ORDERS = "shop.public.orders"
SOURCE = PostgresSourceConfig("shop", host="db.example", database="shop", user="reader")
TARGET = PostgresTarget(host="qa.example", database="shop", user="loader", password=EnvVar("QA_PASSWORD"))
QA = Environment("qa", target=TARGET, mask_key=EnvVar("QA_MASK_KEY"))
POLICY = MaskingPolicy(
    "masks",
    tables=[
        TablePolicy(CUSTOMERS, columns={"id": ColumnPolicy("public"), "city": ColumnPolicy("public")}),
        TablePolicy(ORDERS, columns={"id": ColumnPolicy("public"), "customer_id": ColumnPolicy("public")}),
    ],
)
NIGHTLY = EnvironmentRefresh(
    "nightly", environment="qa", policy="masks", tables=["shop.*"], start=Schedule("0 3 * * *")
)


def problems(
    *,
    policies: Any = (POLICY,),
    environments: Any = (QA,),
    refreshes: Any = (NIGHTLY,),
    projections: Any = (),
) -> list[str]:
    catalog = Catalog(
        EventStoreConfig("store"),
        (SOURCE,),
        (Table(CUSTOMERS), Table(ORDERS)),
        projections,
        policies=policies,
        environments=environments,
        refreshes=refreshes,
    )
    found = list(catalog.problems())
    assert all("Fix: " in problem for problem in found), found
    return found


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


# --- refreshes -------------------------------------------------------------------------


def test_a_sound_refresh_is_accepted_whole() -> None:
    subset = Subset(
        {CUSTOMERS: 0.01, ORDERS: "id > 5"},
        children={"orders.customer_id": "all", f"{ORDERS}.customer_id": 10},
        virtual_keys={f"{ORDERS}.customer_id": f"{CUSTOMERS}.id"},
    )
    whole = replace(
        NIGHTLY,
        tables=[CUSTOMERS, ORDERS],
        start=Schedule("*/15 8-18 * jan-mar mon-fri", timezone="Europe/Berlin"),
        subset=subset,
        max_rows=10**6,
        seed_rows=[SeedRows(CUSTOMERS, function="team.rows:customers")],
        hooks=[SqlHook("ANALYZE"), PythonHook("team.hooks:after")],
    )
    assert problems(refreshes=[whole]) == []
    assert problems(refreshes=[replace(NIGHTLY, start=AfterLoad([ORDERS])), replace(NIGHTLY, name="b")]) == []


@pytest.mark.parametrize(
    ("kind", "migration", "start"),
    list(
        itertools.product(
            ("data-refresh", "data-migration"),
            ("full-load", "full-load-and-cdc", "cdc"),
            (Schedule("0 3 * * *"), AfterLoad(), OneTime()),
        )
    ),
)
def test_six_combinations_are_legal_and_all_others_are_refused_with_the_reason(
    kind: Any, migration: Any, start: Any
) -> None:
    found = problems(refreshes=[replace(NIGHTLY, kind=kind, migration=migration, start=start)])
    word = "one-time" if isinstance(start, OneTime) else "schedule"
    if (kind, migration, word) in LEGAL:
        assert found == []
    else:
        assert found
        assert all(f"migration {migration!r}" in problem for problem in found)


def test_six_are_six() -> None:
    assert len(LEGAL) == len(set(LEGAL)) == 6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Nightly"}, "'Nightly' cannot be part of an asset key"),
        ({"environment": "qaa"}, "environment 'qaa' is not in the catalog. Fix: did you mean qa?"),
        ({"policy": "mask"}, "policy 'mask' is not in the catalog. Fix: did you mean masks?"),
        ({"tables": []}, "copies no table"),
        ({"tables": ["shop.public.oders"]}, "did you mean shop.public.orders?"),
        ({"tables": [ORDERS, ORDERS]}, "is named twice"),
        ({"kind": "refresh"}, "kind is 'refresh'. Fix: one of 'data-refresh', 'data-migration'"),
        ({"start": Schedule("0 3 * *")}, "is not of 5 fields"),
        ({"start": Schedule("0 25 * * *")}, "cron hour '25' is not of 0 to 23"),
        ({"start": Schedule("0 3 * * *", timezone="Europe/Atlantis")}, "timezone 'Europe/Atlantis'"),
        ({"start": Schedule("0 3 * * *", timezone="../../etc/passwd")}, "is not known"),
        ({"start": Schedule(3)}, "start cron is of type int"),  # type: ignore[arg-type]
        ({"start": AfterLoad(["shop.public.x"])}, "start waits for table 'shop.public.x'"),
        ({"max_rows": 0}, "max_rows 0 is not above 0"),
        ({"chunk_rows": -1}, "chunk_rows -1 is not above 0"),
        ({"seed_rows": [SeedRows("shop.public.x", function="a:b")]}, "seed_rows table 'shop.public.x'"),
        ({"seed_rows": [SeedRows(ORDERS, function="a.b")]}, "seed_rows 'a.b' names no function"),
        ({"hooks": [SqlHook(" ")]}, "hook 1 statement is empty"),
        ({"hooks": [SqlHook("ALTER ROLE x; -- password = 'hunter2'")]}, "hook 1 statement holds a password"),
        ({"hooks": [SqlHook("ANALYZE"), PythonHook("hooks")]}, "hook 2 'hooks' names no function"),
        ({"subset": Subset()}, "subset begins with no rows"),
        ({"subset": Subset({"shop.public.x": 0.1})}, "subset begins with table 'shop.public.x'"),
        ({"subset": Subset({ORDERS: 2.0})}, "subset begins with a share of 2.0"),
        ({"subset": Subset({ORDERS: " "})}, "subset begins with no condition"),
        ({"subset": Subset({ORDERS: 0.1}, children={"x.id": "all"})}, "subset children 'x.id' is no column"),
        ({"subset": Subset({ORDERS: 0.1}, children={"orders.id": "some"})}, "'orders.id' is neither"),
        ({"subset": Subset({ORDERS: 0.1}, children={"orders.id": 0})}, "'orders.id' is neither"),
        ({"subset": Subset({ORDERS: 0.1}, virtual_keys={"a.b": f"{ORDERS}.id"})}, "virtual_keys 'a.b'"),
        (
            {
                "subset": Subset({ORDERS: 0.1}),
                "kind": "data-migration",
                "migration": "full-load-and-cdc",
                "start": OneTime(),
            },
            "subset is chosen once for a copy",
        ),
    ],
)
def test_a_refresh_that_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    problem = only(problems(refreshes=[replace(NIGHTLY, **changes)]))
    assert said in problem
    assert problem.startswith(f"refresh {changes.get('name', 'nightly')}: ")
    assert "hunter2" not in problem


def test_tables_that_the_policy_does_not_name_are_refused() -> None:
    partly = replace(POLICY, tables=POLICY.tables[:1])
    assert only(problems(policies=[partly])) == (
        "refresh nightly: table 'shop.public.orders' is not in the policy masks, which names what may be "
        "copied. Fix: TablePolicy('shop.public.orders', columns={...}), or leave it out"
    )


def test_refreshes_that_would_drop_each_others_tables_are_refused() -> None:
    customers = replace(NIGHTLY, name="customers", tables=[CUSTOMERS])
    assert "each would drop those of the other" in only(problems(refreshes=[NIGHTLY, customers]))
    both = replace(NIGHTLY, name="both", tables=[ORDERS, CUSTOMERS])
    assert problems(refreshes=[NIGHTLY, both]) == []


def test_all_problems_are_told_at_once() -> None:
    broken = replace(NIGHTLY, environment="x", policy="y", max_rows=0, start=Schedule("never"))
    assert len(problems(refreshes=[broken, replace(broken, name="other")])) == 8


@pytest.mark.parametrize(
    ("cron", "sound"),
    [
        ("* * * * *", True),
        ("5,10-20,*/7 0 1 JAN-dec sun,7", True),
        ("@daily", True),
        ("0 0 29 2 *", True),
        ("0 0 30 2 *", False),
        ("60 * * * *", False),
        ("*/0 * * * *", False),
        ("5-1 * * * *", False),
        ("* * 0 * *", False),
        ("* * * 13 *", False),
        ("* * * * 8", False),
        ("a * * * *", False),
        ("1, * * * *", False),
        ("", False),
        ("@often", False),
    ],
)
def test_cron_expressions_are_read_field_by_field(cron: str, sound: bool) -> None:
    assert (list(cron_problems(cron)) == []) is sound


# --- environments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "QA"}, "cannot be part of an asset key"),
        ({"name": "shop"}, "a source or a projection is called so too"),
        ({"name": "lake"}, "a source or a projection is called so too"),
        (
            {"mask_key": "0" * 64},
            "mask_key holds a credential (dropped). Fix: give it by reference, as EnvVar",
        ),
        ({"mask_key": EnvVar("not a name")}, "mask_key names no environment variable"),
        ({"trust": "production"}, "trust is 'production'. Fix: one of 'nonproduction'"),
        ({"allow": ["public", "secret.token"]}, "allow has 'secret.token': secrets are never kept"),
        ({"allow": ["*"]}, "allow has '*', which is no class"),
        ({"allow": "public"}, "allow is of type str"),
        ({"mask_scope": ""}, "mask_scope is empty"),
        ({"readers": [""]}, "readers has an empty name"),
        ({"target": "postgresql://x"}, "target is of type str"),
        (
            {"target": replace(TARGET, password="hunter2")},  # type: ignore[arg-type]
            "target password holds a credential (dropped)",
        ),
        ({"target": replace(TARGET, host="")}, "target host is empty"),
        ({"target": replace(TARGET, port=0)}, "target port 0"),
        ({"target": MySqlTarget(host="10.0.0.9", user="u")}, "on another machine, and without TLS"),
        ({"target": MySqlTarget(host="localhost", user="u", prefix="q-a")}, "target prefix is no part"),
        ({"target": SqliteTarget("")}, "target folder is empty"),
        (
            {"target": replace(TARGET, host="DB.example.", database="shop")},
            "target is the database of source 'shop': that is production",
        ),
    ],
)
def test_an_environment_that_cannot_be_one_is_refused(changes: dict[str, Any], said: str) -> None:
    environment = replace(QA, **changes)
    lake = DeltaProjection("lake", tables=["shop.*"], root="lake")
    found = problems(environments=[environment], refreshes=[], projections=[lake])
    problem = only(found)
    assert said in problem
    assert "hunter2" not in problem
    assert "0000" not in problem


def test_a_literal_mask_key_is_gone_at_once() -> None:
    environment = replace(QA, mask_key="c0ffee" * 11)  # type: ignore[arg-type]
    assert "c0ffee" not in repr(environment)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TARGET, replace(TARGET, host="QA.example", user="other")),
        (MySqlTarget(host="127.0.0.1", user="u"), MySqlTarget(host="localhost", user="v")),
        (SqliteTarget("copies/qa"), SqliteTarget("copies/../copies/qa/")),
    ],
)
def test_two_environments_in_one_place_are_refused(one: Any, other: Any) -> None:
    environments = [replace(QA, target=one), replace(QA, name="dev", target=other)]
    assert "qa and dev have one target" in only(problems(environments=environments))


def test_environments_side_by_side_are_accepted() -> None:
    targets: list[DatabaseTarget] = [
        TARGET,
        replace(TARGET, database="shop_dev"),
        MySqlTarget(host="localhost", user="u"),
        MySqlTarget(host="localhost", user="u", prefix="dev_"),
        MySqlTarget(host="maria.example", user="u", sslrootcert="/etc/ca.pem"),
        SqliteTarget("a"),
        SqliteTarget("b"),
    ]
    named = [replace(QA, name=f"qa{n}", target=target) for n, target in enumerate(targets)]
    assert problems(environments=named, refreshes=[]) == []


# --- policies --------------------------------------------------------------------------


def with_table(**changes: Any) -> MaskingPolicy:
    return replace(POLICY, tables=[replace(POLICY.tables[0], **changes), POLICY.tables[1]])


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (replace(POLICY, name="Masks"), "policy Masks: name 'Masks' cannot be part"),
        (replace(POLICY, version=""), "version is empty"),
        (replace(POLICY, namespaces=[Namespace("a"), Namespace("a")]), "namespace 'a' stands there 2 times"),
        (replace(POLICY, namespaces=[Namespace("a", low=5, high=5)]), "low 5 is not below high 5"),
        (replace(POLICY, namespaces=[Namespace("a", low=5)]), "low or high, but not both"),
        (replace(POLICY, namespaces=[Namespace("a", normalise=["upper"])]), "normalise is of other contents"),  # type: ignore[list-item]
        (replace(POLICY, tables=[*POLICY.tables, POLICY.tables[0]]), "stands there 2 times"),
        (with_table(k_min=1, quasi_identifiers=["city"]), "k_min 1 demands nothing"),
        (with_table(k_min=5), "k_min is of no columns"),
        (with_table(k_min=5, quasi_identifiers=["cty"]), "which is not listed. Fix: did you mean city?"),
        (with_table(row_key=["no"]), "row_key names 'no'"),
        (with_table(k_min="5"), "k_min is of type str"),
        (with_table(columns={"id": ColumnPolicy("PII!")}), "class 'PII!' is none"),
        (with_table(columns={"id": ColumnPolicy(5)}), "data_class is of type int"),  # type: ignore[arg-type]
        (with_table(columns={"id": "public"}), "columns is of other contents"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(policy: MaskingPolicy, said: str) -> None:
    problem = only(problems(policies=[policy], refreshes=[]))
    assert said in problem
    assert problem.startswith(f"policy {policy.name}: ")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("email", "mask is of type str, which is no rule"),
        (Token("t", length=0), "Token length 0 is not between"),
        (Token("t", length="16"), "Token length is of type str"),  # type: ignore[arg-type]
        (Token(""), "Token namespace is empty"),
        (Phone(digits=50), "Phone digits 50 is not between"),
        (DateShift(days=0), "DateShift days 0 is not between"),
        (Noise(ratio=0), "Noise ratio 0 is not above 0"),
        (RandomRange(5, 1), "RandomRange low is above high"),
        (RandomRange(1, "2020-01-01"), "RandomRange low and high are of two kinds"),
        (RandomRange(1, float("nan")), "RandomRange low is above high, or one of them is no number"),
        (Partial(first=-1), "Partial first and last"),
        (Partial(fill="**"), "Partial fill is not one character"),
        (RegexReplace("(", "x"), "RegexReplace pattern is no regular expression"),
        (Choice([]), "Choice has no values"),
        (Choice(["a", "b"], weights=[1]), "Choice has 2 values, 1 weights"),
        (Choice(["a"], weights=[0]), "Choice weights are not shares"),
        (Generalise(), "Generalise takes one of width, unit and prefix"),
        (Generalise(width=10, prefix=2), "Generalise takes one of"),
        (Generalise(width=0), "Generalise width 0 is none"),
        (Generalise(prefix=100), "Generalise prefix 100 is not between 1 and 8"),
        (PythonRule("masks", output=".*"), "PythonRule 'masks' names no function"),
        (PythonRule("masks:own", output="["), "PythonRule output is no regular expression"),
        (DigitsMask(""), "DigitsMask character"),
        (DigitsMask("7"), "DigitsMask character"),
        (JsonPaths({"plan": Keep()}), "JsonPaths 'plan' is no path"),
        (JsonPaths({"$.a": Token("t", length=0)}), "JsonPaths $.a Token length 0"),
        (JsonPaths({"$.a": JsonPaths()}), "JsonPaths paths is of other contents"),  # type: ignore[dict-item]
        (XmlPaths({"order": Keep()}), "XmlPaths 'order' is no path"),
    ],
)
def test_rules_with_senseless_parameters_are_refused(rule: Any, said: str) -> None:
    columns = {"id": ColumnPolicy("public"), "city": ColumnPolicy("pii.city", rule)}
    problem = only(problems(policies=[with_table(columns=columns)], refreshes=[]))
    assert said in problem
    assert "column city: " in problem or rule == "email"


def test_a_table_of_a_policy_that_no_catalog_has_is_refused() -> None:
    policy = replace(POLICY, tables=[*POLICY.tables, replace(POLICY.tables[0], table="shop.public.custmers")])
    assert "is not in the catalog. Fix: did you mean shop.public.customers?" in only(
        problems(policies=[policy])
    )


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"policies": [POLICY, POLICY]}, "policies: 2 are called 'masks'"),
        ({"refreshes": [NIGHTLY, NIGHTLY]}, "refreshes: 2 are called 'nightly'"),
        (
            {"environments": [QA, replace(QA, target=SqliteTarget("x"))], "refreshes": []},
            "environments: 2 are called 'qa'",
        ),
    ],
)
def test_one_name_is_for_one_declaration(declared: dict[str, Any], said: str) -> None:
    assert said in only(problems(**declared))
