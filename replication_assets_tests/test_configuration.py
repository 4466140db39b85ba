"""The configuration reference is what the declarations say, and leaves nothing out."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

import replication_assets
from replication_assets import catalog
from replication_assets.cli.configuration import MASKING, declarations, reference, renewed, shown, told_in
from replication_assets_tests.markdown import ROOT, rows

DOCS = ROOT / "docs"
DOCUMENTS = ("configuration.md", MASKING)
SELF_EVIDENT = {
    *("name", "names", "host", "port", "user", "database", "region", "endpoint_url", "field", "secret_id"),
    *(
        "sources",
        "tables",
        "projections",
        "cutovers",
        "event_store",
        "watch",
        "bounds",
        "sender",
        "recipients",
    ),
    *("function", "url", "headers", "topic_arn", "namespace", "file", "projection", "bucket", "prefix"),
    *("table", "constant", "template", "type", "notify", "metrics", "cafile", "tls", "events", "into"),
    *("partition_key", "sort_key", "attributes", "fields", "write_units", "mode", "policy", "ttl", "columns"),
}
"""Fields that their names, or the sentence above the table, explain."""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_reference_is_current(name: str) -> None:
    due = f"make docs, or python -m replication_assets.cli.configuration docs/{name}"
    document = (DOCS / name).read_text()
    assert renewed(document, name) == document, due


def test_everything_that_can_be_declared_is_in_it() -> None:
    public = {
        name
        for name in replication_assets.__all__
        if dataclasses.is_dataclass(found := getattr(replication_assets, name))
        and found.__module__.split(".")[1] in ("catalog", "declarations", "secret_references", "core")
    } - {"Position", "TableId"}
    assert public <= {kind.__name__ for kind in declarations(catalog.Catalog)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in DOCUMENTS for kind in told_in(name)],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_each_field_is_listed_with_its_type_and_what_it_means(name: str, kind: type) -> None:
    listed = rows(DOCS / name, kind.__name__)
    assert [row[0] for row in listed] == [f"`{each.name}`" for each in dataclasses.fields(kind)]
    for name, type_, default, *meaning in listed:
        assert type_
        assert default
        assert any(meaning) or name.strip("`") in SELF_EVIDENT, f"{kind.__name__}.{name} is not explained"


def test_types_are_shown_in_words() -> None:
    assert shown(str | None) == "text or none"
    assert shown(Sequence[int]) == "list of whole number"
    assert shown(Mapping[str, str | catalog.EnvVar]) == "mapping of text to text or [EnvVar](#envvar)"
    assert shown(Literal["a", "b"]) == '`"a"`, `"b"`'
    assert shown(dt.date) == "date"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_declaration_is_described_once(name: str) -> None:
    headings = [line for line in reference(name).splitlines() if line.startswith("### ")]
    assert len(headings) == len(set(headings))
