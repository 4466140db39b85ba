"""A table mapping: its rules, read from JSON with everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.filters import read_filters
from replication_assets.dms.findings import Finding, Findings, Place
from replication_assets.dms.json_source import Array, Node, Object, parse_json
from replication_assets.dms.locators import read_locator
from replication_assets.dms.members import Members
from replication_assets.dms.naming import NAMES
from replication_assets.dms.object_mappings import (
    ACTIONS,
    is_of_stream,
    read_attributes,
    read_condition,
    read_stream_key,
)
from replication_assets.dms.rules import (
    AnyRule,
    Locator,
    ObjectMapping,
    PostProcessing,
    Selection,
    TableSettings,
    Transformation,
    ValidationOverride,
)
from replication_assets.dms.table_settings import read_lobs, read_parallel_load
from replication_assets.dms.transformations import (
    NAMED,
    NEEDS_OLD_VALUE,
    NEEDS_VALUE,
    TABLESPACES,
    TARGETS_OF,
    read_before_image,
    read_data_type,
    read_expression,
    read_primary_key,
)


@dataclass(frozen=True, slots=True)
class TableMapping:
    """The rules that could be read, in the order of the file."""

    file: str
    rules: tuple[AnyRule, ...]
    findings: tuple[Finding, ...]

    @property
    def selections(self) -> tuple[Selection, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, Selection))

    @property
    def transformations(self) -> tuple[Transformation, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, Transformation))

    @property
    def table_settings(self) -> tuple[TableSettings, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, TableSettings))

    @property
    def object_mappings(self) -> tuple[ObjectMapping, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, ObjectMapping))


def read_mapping(text: str, file: str, *, escape: str = "", target: str = "") -> TableMapping:
    """`escape` is Oracle's `escapeCharacter`, `target` the engine of the target endpoint, where it is
    known. Never raises for what the text holds."""
    findings = Findings()
    node = parse_json(text, file, findings)
    rules: tuple[AnyRule, ...] = ()
    if node is not None:
        rules = _read_rules(node, findings, _Endpoints(escape, target.strip().lower()))
    return TableMapping(file, rules, findings.listed())


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """What rules mean depends on: the source's `escapeCharacter`, the engine of the target."""

    escape: str
    target: str


def _read_rules(node: Node, findings: Findings, endpoints: _Endpoints) -> tuple[AnyRule, ...]:
    if isinstance(node, Array):
        findings.error("no-rules", "a list, not an object with rules", 'write {"rules": [...]}', node.place)
        listed = node.items
    elif not isinstance(node, Object):
        findings.error("no-rules", "not an object with rules", 'write {"rules": [...]}', node.place)
        return ()
    else:
        document = Members(node, findings, "table mapping")
        listed = document.array("rules", required=True)
        document.finish()
    found = []
    for order, each in enumerate(listed):
        if not isinstance(each, Object):
            findings.error("wrong-type", "a rule is not an object", "write rules as {...}", each.place)
            continue
        rule = _read_rule(each, findings, order, endpoints)
        if rule is not None:
            found.append(rule)
    if not listed:
        findings.error("no-rules", "there are no rules", "add a selection rule", node.place)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Common:
    """What every rule has."""

    id: str
    name: str
    place: Place
    order: int


_Reader = Callable[[Members, _Common, _Endpoints], AnyRule | None]


def _read_rule(node: Object, findings: Findings, order: int, endpoints: _Endpoints) -> AnyRule | None:
    members = Members(node, findings, "rule")
    rule_id = members.text("rule-id", required=True) or f"rule {order + 1}"
    members.rule = rule_id
    if not rule_id.strip().isdigit():
        members.warn("rule-id", f"rule-id {rule_id[:30]!r} is no number", "number the rules")
    name = members.text("rule-name") or ""
    kind = members.word("rule-type", tuple(_READERS), required=True)
    if kind is None:
        return None
    members.what = f"{kind} rule"
    rule = _READERS[kind](members, _Common(rule_id, name, node.place, order), endpoints)
    members.finish()
    return rule


def _selection(members: Members, common: _Common, endpoints: _Endpoints) -> Selection | None:
    action = members.word("rule-action", ("include", "exclude", "explicit"), required=True)
    locator = read_locator(members, type_default="table", escape=endpoints.escape)
    load_order = members.integer("load-order", least=0, most=2_147_483_647)
    filters = read_filters(members)
    if action is None or locator is None or locator.table is None or filters is None:
        return None
    if action == "explicit" and not (locator.schema.exact and locator.table.exact):
        what = "explicit means one object, and its name has wildcards"
        members.error("wildcard-not-allowed", what, "write its exact names, or include", locator.place)
    if filters and action == "exclude":
        what = "filters of an exclude rule are not applied: all rows of the table are left out"
        members.error("filters-of-exclude", what, "put the filters into the include rule")
    if filters and not (locator.schema.exact and locator.table.exact):
        what = (
            f"filters with wildcards in {locator}: DMS takes exact names alone; here every table is filtered"
        )
        members.warn("filters-with-wildcards", what, "write a rule for each table", locator.place)
    return Selection(
        common.id, common.name, locator, common.place, common.order, action, load_order or 0, filters
    )


def _transformation(members: Members, common: _Common, endpoints: _Endpoints) -> Transformation | None:
    action = members.word("rule-action", tuple(TARGETS_OF), required=True)
    target = members.word("rule-target", (*NAMED, *TABLESPACES), required=True)
    added = action in ("add-column", "add-before-image-columns")
    of_column = target == "column" and not added
    locator = read_locator(
        members, table=target not in ("schema", None), column=of_column, escape=endpoints.escape
    )
    expression = read_expression(members)
    by_expression = action == "rename" and members.has("expression")
    value = members.text(
        "value",
        required=action in NEEDS_VALUE and not by_expression,
        empty=action in ("replace-prefix", "replace-suffix"),
    )
    old_value = members.text("old-value", required=action in NEEDS_OLD_VALUE)
    data_type = read_data_type(members, required=action == "change-data-type")
    primary_key = read_primary_key(members) if action == "define-primary-key" else None
    before = read_before_image(members) if action == "add-before-image-columns" else None
    # The console writes an empty list of filters into every rule.
    if members.array("filters"):
        members.error("wrong-member", "filters belong to selection rules", "put them into the include rule")
    if action is None or target is None or locator is None:
        return None
    if target not in TARGETS_OF[action]:
        what = f"{action} has no target {target}"
        members.error("wrong-target", what, f"its rule-target is {' or '.join(TARGETS_OF[action])}")
        return None
    if action == "define-primary-key" and not _exact(locator):
        what = "define-primary-key takes exact names alone"
        members.error("wildcard-not-allowed", what, "write a rule for each table", locator.place)
    if action in NEEDS_VALUE and value is None and not (by_expression and _names(members, expression)):
        return None
    _check_expression(members, action, expression)
    if action == "data-masking-digits-mask" and value is not None and not _masks(value):
        what = "digits are masked with one printable ASCII character that is no blank"
        members.error("bad-mask", what, 'write "value": "#"', members.place_of("value"))
        return None
    return Transformation(
        common.id, common.name, locator, common.place, common.order,
        target, action, value, old_value, expression, data_type, primary_key, before,
    )  # fmt: skip


def _check_expression(members: Members, action: str, expression: Expression | None) -> None:
    if members.has("expression") and action == "rename" and members.has("value"):
        place = members.place_of("expression")
        what = "rename has a value and an expression, and takes one name"
        members.error("wrong-member", what, "delete one of them", place)
    elif members.has("expression") and action not in ("add-column", "change-data-type", "rename"):
        what = f"{action} takes no expression"
        members.error("wrong-member", what, "delete it, or add a column", members.place_of("expression"))
    if expression is not None and expression.unstable:
        what = f"{expression.unstable} gives another value each time the row is written"
        members.warn("unstable-expression", what, "use $AR_H_TIMESTAMP", members.place_of("expression"))


def _names(members: Members, expression: Expression | None) -> bool:
    """Whether an expression gives a name; tells why it does not."""
    if expression is None:
        return False
    if expression.columns or set(expression.variables) - NAMES or expression.unstable:
        what = "the expression of a name is of rows or of the time, and a name is of all rows"
        fix = "use $AR_M_SOURCE_SCHEMA, $AR_M_SOURCE_TABLE_NAME, $AR_M_SOURCE_COLUMN_NAME"
        members.error("bad-expression", what, fix, members.place_of("expression"))
        return False
    return True


def _masks(value: str) -> bool:
    return len(value) == 1 and "!" <= value <= "~"


def _exact(locator: Locator) -> bool:
    return locator.schema.exact and (locator.table is None or locator.table.exact)


def _settings(members: Members, common: _Common, endpoints: _Endpoints) -> TableSettings | None:
    locator = read_locator(members, escape=endpoints.escape)
    parallel, lobs = read_parallel_load(members), read_lobs(members)
    # Tools write an empty list of filters into every rule.
    if members.array("filters"):
        members.error("wrong-member", "filters belong to selection rules", "put them into the include rule")
    if locator is None:
        return None
    if not _exact(locator):
        what = "table-settings take exact names alone"
        members.error("wildcard-not-allowed", what, "write a rule for each table", locator.place)
    return TableSettings(common.id, common.name, locator, common.place, common.order, parallel, lobs)


def _object_mapping(members: Members, common: _Common, endpoints: _Endpoints) -> ObjectMapping | None:
    action = members.word("rule-action", ACTIONS, required=True)
    locator = read_locator(members, table=False, escape=endpoints.escape)
    target, topic = members.text("target-table-name"), members.text("kafka-target-topic")
    parameters = members.object("mapping-parameters", "mapping-parameters")
    if action is None or locator is None:
        return None
    head = (common.id, common.name, locator, common.place, common.order, action, target, topic)
    if parameters is None:
        bare = ObjectMapping(*head, None, None, (), (), None, None, None, False)
        return replace(bare, streams=is_of_stream(bare, endpoints.target))
    partition, sort = parameters.text("partition-key-name"), parameters.text("sort-key-name")
    excluded = parameters.texts("exclude-columns")
    attributes, condition = read_attributes(parameters), read_condition(parameters)
    stream_key = read_stream_key(parameters)
    parameters.finish()
    rule = ObjectMapping(*head, partition, sort, excluded, attributes, condition, *stream_key, False)
    return replace(rule, streams=is_of_stream(rule, endpoints.target))


def _validation(members: Members, common: _Common, endpoints: _Endpoints) -> ValidationOverride | None:
    members.word("rule-target", ("column",), required=True)
    members.word("rule-action", ("override-validation-function",), required=True)
    locator = read_locator(members, column=True, escape=endpoints.escape)
    source, target = members.text("source-function"), members.text("target-function")
    if source is None and target is None:
        members.error("missing-member", "neither source-function nor target-function", "add one of them")
    if locator is None:
        return None
    return ValidationOverride(common.id, common.name, locator, common.place, common.order, source, target)


def _post_processing(members: Members, common: _Common, endpoints: _Endpoints) -> PostProcessing | None:
    members.word("rule-action", ("add-tag",), required=True)
    locator = read_locator(members, escape=endpoints.escape)
    tags = []
    for each in members.objects("tag-set", "tag", required=True):
        key, value = each.text("key", required=True), each.text("value", required=True, empty=True)
        each.finish()
        if key is not None and value is not None:
            tags.append((key, value))
    if locator is None:
        return None
    return PostProcessing(common.id, common.name, locator, common.place, common.order, tuple(tags))


_READERS: dict[str, _Reader] = {
    "selection": _selection,
    "transformation": _transformation,
    "table-settings": _settings,
    "object-mapping": _object_mapping,
    "validation": _validation,
    "post-processing": _post_processing,
}
