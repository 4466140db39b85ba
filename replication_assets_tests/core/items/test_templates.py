"""Templates are texts and columns; mistakes in them are found."""

from __future__ import annotations

import pytest

from replication_assets.core.items.templates import ColumnRef, Template


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("order#${id}", ("order#", ColumnRef("id"))),
        ("${a}${b}", (ColumnRef("a"), ColumnRef("b"))),
        ("${a b}!", (ColumnRef("a b"), "!")),
        ("$${id}", ("${id}",)),
        ("$$${id}", ("$${id}",)),
        ("cost $5 {id}", ("cost $5 {id}",)),
        ("a$${${b}}", ("a${", ColumnRef("b"), "}")),
    ],
)
def test_a_template_is_read(text: str, parts: tuple[str | ColumnRef, ...]) -> None:
    assert Template.parse(text).parts == parts


@pytest.mark.parametrize("text", ["${", "a${id", "${}", "x${}y"])
def test_an_open_or_empty_placeholder_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="without a column's name"):
        Template.parse(text)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("agg#agg#${id}", "agg#"),
        ("agg#${id}", None),
        ("a-a-x${id}", "a-"),
        ("aa${id}", None),
        ("${id}", None),
    ],
)
def test_a_prefix_that_stands_there_twice_is_found(text: str, prefix: str | None) -> None:
    assert Template.parse(text).repeated_prefix() == prefix
