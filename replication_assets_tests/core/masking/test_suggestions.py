"""Suggestions: what is proposed for a table, and that it may be declared as it is."""

import pyarrow as pa
import pytest
import yaml

from replication_assets.components.declared_values import ValueProblem, read
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.core.masking.policy_problems import policy_problems
from replication_assets.core.masking.policy_text import as_python, as_yaml
from replication_assets.core.masking.rules import (
    Address,
    CardNumber,
    Choice,
    ColumnDefault,
    Constant,
    DateShift,
    Email,
    FreeText,
    IntegerId,
    JsonPaths,
    Keep,
    Noise,
    Null,
    PersonName,
    Phone,
    Rule,
    Token,
    UuidId,
    XmlPaths,
)
from replication_assets.core.masking.suggestions import proposed_policy, suggest, suggest_rule
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.structure import ColumnStructure, ForeignKey, TableStructure, UniqueKey

KEYS = KeyRing(bytes(range(32)), environment="qa", scope="qa")


@pytest.mark.parametrize(
    ("name", "kind", "data_class", "rule"),
    [
        ("customerEMail", "text", "pii.email", Email()),
        ("email", "character varying(20)", "pii.email", Token("email")),
        ("email_verified", "boolean", "internal", Keep()),
        ("mobile_phone", "varchar(30)", "pii.phone", Phone()),
        ("password_hash", "text", "secret.credential", Null()),
        ("first_name", "text", "pii.name", PersonName("first")),
        ("shipping_city", "text", "pii.address", Address("city")),
        ("card_number", "text", "pii.card", CardNumber()),
        ("notes", "varchar(50)", "pii.freetext", FreeText(longest=50)),
        ("something", "text", "pii.freetext", FreeText()),
        ("status", "text", "internal", Keep()),
        ("status_message", "text", "pii.freetext", FreeText()),
        ("date_of_birth", "date", "pii.dob", DateShift()),
        ("salary", "numeric(10,2)", "pii.financial", Noise()),
        ("profile", "jsonb", "pii.json", JsonPaths()),
        ("document", "xml", "pii.xml", XmlPaths()),
        ("customer_id", "bigint", "pii.identifier", IntegerId("customer_id")),
        ("key", "uuid", "pii.identifier", UuidId("key")),
        ("tags", "text[]", "pii.unknown", Null()),
        ("place", "geometry(Point,4326)", "pii.unknown", Null()),
    ],
)
def test_a_rule_is_proposed_from_name_and_type(name: str, kind: str, data_class: str, rule: Rule) -> None:
    assert suggest_rule(ColumnStructure(name, kind)) == (data_class, rule)


def test_what_may_not_be_null_gets_an_empty_value_and_what_is_computed_is_computed_again() -> None:
    assert suggest_rule(ColumnStructure("api_key", "text", nullable=False))[1] == Constant("")
    assert suggest_rule(ColumnStructure("ip", "inet", nullable=False))[1] == Constant("192.0.2.1")
    assert suggest_rule(ColumnStructure("total", "integer", generated="a + b"))[1] == ColumnDefault()


def test_nothing_is_proposed_as_public() -> None:
    for name in ("status", "quantity", "is_active", "created_at", "country_code", "id"):
        for kind in ("text", "integer", "boolean", "date", "numeric(5,2)", "time without time zone"):
            assert suggest_rule(ColumnStructure(name, kind))[0] != "public"


def _id(name: str) -> TableId:
    return TableId("shop", "public", name)


CUSTOMERS = TableStructure(
    _id("customers"),
    "postgresql",
    (
        ColumnStructure("id", "bigint", nullable=False, identity="always"),
        ColumnStructure("email", "text", nullable=False),
        ColumnStructure("handle", "character varying(40)", nullable=False),
        ColumnStructure("reach", "text"),
        ColumnStructure("kind", "text"),
        ColumnStructure("born", "date"),
    ),
    primary_key=UniqueKey("customers_pkey", ("id",)),
    unique_keys=(UniqueKey("customers_email_key", ("email",)), UniqueKey("customers_name_key", ("handle",))),
)
ORDERS = TableStructure(
    _id("orders"),
    "postgresql",
    (
        ColumnStructure("id", "integer", nullable=False),
        ColumnStructure("buyer", "bigint"),
        ColumnStructure("buyer_email", "text"),
        ColumnStructure("agent", "bigint"),
    ),
    primary_key=UniqueKey("orders_pkey", ("id",)),
    foreign_keys=(
        ForeignKey("orders_buyer_fkey", ("buyer",), _id("customers"), ("id",)),
        ForeignKey("orders_email_fkey", ("buyer_email",), _id("customers"), ("email",)),
        ForeignKey("orders_agent_fkey", ("agent",), _id("employees"), ("id",)),
    ),
)
ARROW = {"bigint": pa.int64(), "integer": pa.int32(), "date": pa.date32()}


def _schema(structure: TableStructure) -> TableSchema:
    columns = [Column(each.name, each.type, ARROW.get(each.type, pa.string())) for each in structure.columns]
    return TableSchema(tuple(columns), key=("id",))


def _proposal() -> MaskingPolicy:
    return proposed_policy("shop", [suggest(CUSTOMERS), suggest(ORDERS, others=[CUSTOMERS])])


def test_keys_keep_values_apart_and_references_get_the_rule_of_what_they_refer_to() -> None:
    customers, orders = (table.columns for table in _proposal().tables)

    assert customers["id"].mask == orders["buyer"].mask == IntegerId("customers")
    assert customers["email"].mask == orders["buyer_email"].mask == Email()
    assert customers["handle"].mask == Token("username")
    assert orders["id"].mask == IntegerId("orders")
    assert orders["agent"].mask == IntegerId("employees")
    assert customers["id"].reviewed == "bigint not null default"


def test_namespaces_have_the_integers_that_all_of_their_columns_hold() -> None:
    assert _proposal().namespace("customers") == Namespace("customers", low=1, high=2**53 - 1)
    assert _proposal().namespace("orders") == Namespace("orders", low=1, high=2**30 - 1)


def test_a_proposal_may_be_declared_as_it_is() -> None:
    tables = [(table, _schema(table)) for table in (CUSTOMERS, ORDERS)]

    assert policy_problems(_proposal(), tables, ["public", "internal"], KEYS) == ()


def test_sampled_values_tell_what_a_name_does_not_and_are_never_told_themselves() -> None:
    samples = pa.RecordBatch.from_pydict(
        {
            "reach": ["a@example.com", "b@example.com", "c@example.com", None],
            "kind": ["private", "+49 151 1234567", "private", "private"],
            "email": ["a@example.com"] * 4,
        }
    )
    proposed = {each.name: each for each in suggest(CUSTOMERS, samples).columns}

    assert proposed["reach"].policy.mask == Email()
    assert "100% of 3 sampled values look like an e-mail address" in proposed["reach"].reason
    assert proposed["kind"].policy.mask == Phone()
    assert proposed["email"].reason.startswith("name says e-mail; 100% of 4")
    assert not any("example.com" in each.reason for each in proposed.values())


EVERYTHING = MaskingPolicy(
    "shop: all",
    version="2",
    namespaces=[Namespace("ids", low=1, high=9), Namespace("no", normalise=())],
    tables=[
        TablePolicy(
            "shop.public.a",
            columns={
                "null": ColumnPolicy("secret.x", Null(), reviewed='text "quoted" not null'),
                "a b": ColumnPolicy("public"),
                "c": ColumnPolicy("pii.json", JsonPaths({"$.mail": Email(), "$.x[*]": Constant("no")})),
                "d": ColumnPolicy("pii.x", Choice(["a", "b"], weights=[0.5, 1.5]), approved_by="dpo"),
                "e": ColumnPolicy("pii.x", PersonName("first", by="value")),
                "f": ColumnPolicy("pii.x", Constant(True)),
                "g": ColumnPolicy("pii.x", Token("ids", prefix="t-")),
            },
            row_key=["c"],
            k_min=5,
            quasi_identifiers=["d", "e"],
        )
    ],
)


@pytest.mark.parametrize("policy", [EVERYTHING, _proposal()], ids=["everything", "proposal"])
def test_what_is_written_as_yaml_is_read_as_the_same_policy(policy: MaskingPolicy) -> None:
    problems: list[ValueProblem] = []
    text = as_yaml(policy, {("shop.public.a", "a b"): "because # of\nthis"})

    assert read(yaml.safe_load(text)["policies"][0], MaskingPolicy, problems) == policy, problems


@pytest.mark.parametrize("policy", [EVERYTHING, _proposal()], ids=["everything", "proposal"])
def test_what_is_written_as_python_makes_the_same_policy(policy: MaskingPolicy) -> None:
    made: dict[str, object] = {}
    exec(as_python(policy, {("shop.public.a", "c"): "because"}), made)

    assert made["policy"] == policy


def test_reasons_stand_above_their_columns() -> None:
    proposal = suggest(CUSTOMERS)
    policy = proposed_policy("shop", [proposal])

    for text, quoted in (
        (as_python(policy, proposal.reasons), "'email': "),
        (as_yaml(policy, proposal.reasons), "email: "),
    ):
        lines = [line.strip() for line in text.splitlines()]
        place = next(number for number, line in enumerate(lines) if line.startswith(quoted))
        assert lines[place - 1] == "# name says e-mail"
