"""A chain of lines: whatever is done to it, the first line that does not follow is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.refresh.audit_chain import BEGINNING, canonical, first_break, link

Content = dict[str, object]
bodies = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3) | st.integers()), max_size=6)


def chain(each: list[Content]) -> list[tuple[Content, str]]:
    lines: list[tuple[Content, str]] = []
    previous = BEGINNING
    for number, body in enumerate(each, start=1):
        content: Content = {"body": body, "number": number}
        previous = link(previous, content)
        lines.append((content, previous))
    return lines


@given(bodies)
def test_a_chain_that_nobody_touched_holds(each: list[Content]) -> None:
    assert first_break(chain(each)) is None


@given(bodies, st.data())
def test_a_line_that_is_changed_taken_out_or_put_in_is_found(
    each: list[Content], data: st.DataObject
) -> None:
    lines = chain([*each, {}])
    place = data.draw(st.integers(0, len(lines) - 1))
    content, told = lines[place]
    changed = [*lines[:place], ({**content, "who": "nobody"}, told), *lines[place + 1 :]]
    assert first_break(changed) == place + 1
    assert first_break([*lines[:place], lines[place], *lines[place:]]) == place + 2
    if place < len(lines) - 1:
        assert first_break([*lines[:place], *lines[place + 1 :]]) == place + 1


def test_a_line_that_is_hashed_anew_breaks_the_next_one() -> None:
    lines = chain([{"a": 1}, {"b": 2}, {"c": 3}])
    changed: Content = {"body": {"b": 20}, "number": 2}
    lines[1] = (changed, link(lines[0][1], changed))
    assert first_break(lines) == 3


def test_one_content_has_one_spelling() -> None:
    assert canonical({"b": ["\u00e9", 1], "a": None}) == canonical({"a": None, "b": ("\u00e9", 1)})


@pytest.mark.parametrize("content", [{1: "a"}, {"a": {None: 1}}, {"a": [{True: 1}]}, {"a": float("inf")}])
def test_what_could_be_spelled_in_two_ways_is_refused(content: Content) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(content)
