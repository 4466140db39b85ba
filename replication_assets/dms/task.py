"""All files of a task, or of several that share a table: read, linted and applied together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from replication_assets.dms.applying import apply_mapping
from replication_assets.dms.endpoint import StreamEndpoint, is_endpoint, other_endpoint, read_endpoint
from replication_assets.dms.findings import Finding, Findings, Place
from replication_assets.dms.items import mapped_items
from replication_assets.dms.json_source import Node, Object, parse_json
from replication_assets.dms.lint import by_table, lint_ranges, lint_rules, lint_tables, tell_unknown_tables
from replication_assets.dms.mapping import TableMapping, read_mapping
from replication_assets.dms.messages import mapped_messages
from replication_assets.dms.object_mappings import implied_mapping
from replication_assets.dms.outcome import Outcome, TableOutcome
from replication_assets.dms.packed import unpacked
from replication_assets.dms.settings.combinations import dangers
from replication_assets.dms.settings.reading import TaskSettings, read_settings
from replication_assets.dms.settings.sections import FREE, MOVED, SECTIONS
from replication_assets.dms.source_tables import SourceTable

NOWHERE = Place("command line", 1, 1)


@dataclass(frozen=True, slots=True)
class Task:
    """`files` in the order given. `tables` are those the mappings were applied to; None: those named.
    `target` is the engine of the target endpoint as it was said or as the rules tell; empty: not known.
    `endpoint` are its settings, where it is Kafka's or Kinesis' and a file has them."""

    files: tuple[tuple[TableMapping, Outcome], ...]
    settings: tuple[TaskSettings, ...]
    tables: tuple[SourceTable, ...] | None
    target: str
    findings: tuple[Finding, ...]
    endpoint: StreamEndpoint | None = None

    @property
    def grouped(self) -> dict[str, list[TableOutcome]]:
        """What becomes of each source table, once for each file that takes it."""
        return by_table(self.files)


def read_task(
    texts: Mapping[str, str],
    tables: Sequence[SourceTable] | None = None,
    *,
    escape: str = "",
    target: str = "",
) -> Task:
    """Files by their names: mappings, settings, and settings of a Kafka or Kinesis endpoint, in any order."""
    findings = Findings()
    texts = unpacked(texts)
    endpoint = _endpoint(texts, target, findings)
    target = target or (endpoint.engine if endpoint is not None else "")
    mappings = []
    settings = []
    for file, text in texts.items():
        if is_endpoint(text, file):
            continue
        if (member := other_endpoint(text, file)) is not None:
            _tell_endpoint(member, file, findings)
        elif is_settings(text, file):
            settings.append(read_settings(text, file))
        else:
            mappings.append(read_mapping(text, file, escape=escape, target=target))
    files = tuple((mapping, _applied(mapping, tables, target)) for mapping in mappings)
    for mapping, outcome in files:
        findings.extend(
            (*mapping.findings, *lint_rules(mapping), *outcome.findings, *lint_tables(mapping, outcome))
        )
        if tables is None:
            tell_unknown_tables(mapping, findings)
        if tables is not None and mapping.selections and not outcome.tables:
            what = "the mapping takes no table of the source"
            findings.error(
                "no-tables", what, "spell schema and table as the source does", Place(mapping.file, 1, 1)
            )
    findings.extend(lint_ranges(files))
    engine = target.strip().lower()
    found = _mapped([table for _, outcome in files for table in outcome.tables], engine, findings)
    engine = engine or ("dynamodb" if any(_is_dynamodb(table) for table in found) else "")
    for each in settings:
        findings.extend((*each.findings, *dangers(each, found, engine)))
    known = None if tables is None else tuple(tables)
    return Task(files, tuple(settings), known, engine, findings.listed(), endpoint)


def _endpoint(texts: Mapping[str, str], target: str, findings: Findings) -> StreamEndpoint | None:
    """The settings of the one target endpoint, where a file has them."""
    found: StreamEndpoint | None = None
    for file in [file for file, text in texts.items() if is_endpoint(text, file)]:
        if found is not None:
            what = "settings of a second endpoint: a task has one"
            findings.error("two-endpoints", what, "give one of them", Place(file, 1, 1))
        found = read_endpoint(texts[file], file, findings)
        if target and target.strip().lower() != found.engine:
            what = f"settings of a {found.engine} endpoint, and the target is {target[:40]!r}"
            findings.error("other-endpoint", what, "give one of them", Place(file, 1, 1))
    return found


def _mapped(tables: Sequence[TableOutcome], engine: str, findings: Findings) -> Sequence[TableOutcome]:
    """With everything told that is wrong with their object mappings."""
    for table in tables:
        mapped_items(table, "source", findings)
        mapped_messages(table, engine, findings)
    return tables


def _tell_endpoint(member: str, file: str, findings: Findings) -> None:
    what = f"{member} are of an endpoint: where a target is, and how it is written, is not read from them"
    findings.warn("endpoint", what, "declare it with the projection", Place(file, 1, 1))


def _applied(mapping: TableMapping, tables: Sequence[SourceTable] | None, target: str) -> Outcome:
    """With what DMS does of itself for tables that go to DynamoDB without an object mapping."""
    outcome = apply_mapping(mapping, tables)
    if target.strip().lower() != "dynamodb":
        return outcome
    selections = {rule.id: rule for rule in mapping.selections}
    found = [
        replace(each, object_mapping=implied_mapping(selections[each.selected_by], each.target_table))
        if each.object_mapping is None and each.columns_known
        else each
        for each in outcome.tables
    ]
    return replace(outcome, tables=tuple(found))


def is_settings(text: str, file: str) -> bool:
    """Whether a file holds task settings: it has one of their sections, also misspelled, and no rules."""
    node: Node | None = parse_json(text, file, Findings())
    if not isinstance(node, Object):
        return False
    names = {member.name.lower() for member in node.members}
    if "rules" in names:
        return False
    known = [each.lower() for each in (*SECTIONS, *FREE, *MOVED)]
    return not names or any(get_close_matches(name, known, n=1, cutoff=0.75) for name in names)


def _is_dynamodb(table: TableOutcome) -> bool:
    rule = table.object_mapping
    return rule is not None and not rule.streams and rule.target_table is not None
