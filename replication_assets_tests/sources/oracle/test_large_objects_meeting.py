"""Transactions at random leave, in their events, the rows that a load as of their commit would read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets_tests.contracts.change_source import events
from replication_assets_tests.sources.oracle.documents import (
    NAMES,
    Document,
    Documents,
    Writing,
    drain,
    reloads,
)
from replication_assets_tests.sources.oracle.recorded import TABLE
from replication_assets_tests.sources.oracle.redo_log import FIRST

WHATS = (
    *("add", "add", "write", "write", "title", "title", "move", "shift", "remove", "again"),
    *("back", "back", "commit", "commit", "rollback"),
)
Step = tuple[int, str, int, str, str, str | None]


def steps_of(random: Random) -> list[Step]:
    """Who does what, to which key, how it is logged and what taking it back shows."""
    return [
        (
            random.randrange(2),
            random.choice(WHATS),
            random.randrange(5),
            random.choice(["inline", "update", "pieces", "blocks"]),
            random.choice(["update", "pieces", "quiet"]),
            random.choice([None, "", "short", "it's", "é" * 50]),
        )
        for _ in range(random.randrange(15, 40))
    ]


class Writers:
    """Two sessions, each with keys of its own."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.open: dict[int, Writing] = {}

    @staticmethod
    def owned(who: int) -> Callable[[int], bool]:
        return lambda key: key // 100 == who

    def step(self, who: int, what: str, number: int, how: str, undone: str, body: str | None) -> None:
        documents, owned = self.documents, self.owned(who)
        one = self.open.get(who)
        if one is None:
            one = self.open[who] = documents.begin()
            one.rows = {at: row for at, row in documents.history[-1][1].items() if owned(row.key)}
        if what in ("commit", "rollback"):
            del self.open[who]
            if what == "commit":
                documents.commit(one, owned)
            else:
                documents.redo.rollback(one.xid)
            return
        if what == "back":
            documents.take_back(one, number % 3 + 1)
            return
        key = who * 100 + number
        row = next((each for each in one.rows.values() if each.key == key), None)
        self._write(one, what, key, row, how, undone, body)

    def _write(
        self, one: Writing, what: str, key: int, row: Document | None, how: str, undone: str, body: str | None
    ) -> None:
        documents = self.documents
        data = None if body is None else body.encode()
        if row is None:
            if what == "add":
                documents.add(one, Document(key, f"title {key}", body, data), how)
            return
        if what == "write":
            documents.write(one, row, body, data, how, undone)
        elif what == "title":
            title = None if body is None else f"{body}!"
            assigned = '"TITLE" = ' + ("NULL" if title is None else "'" + title.replace("'", "''") + "'")
            documents.change(one, row, replace(row, title=title), assigned)
        elif what == "move" and not any(each.key == key + 50 for each in one.rows.values()):
            documents.change(one, row, replace(row, key=key + 50), f"\"ID\" = '{key + 50}'")
        elif what == "shift":
            # UPDATE ... SET ID = ID + 1: keys are unique at the end of the statement alone.
            with documents.one_statement(one):
                for each in sorted(one.rows.values(), key=lambda each: each.key):
                    now = replace(each, key=each.key + 1)
                    documents.change(one, each, now, f"\"ID\" = '{now.key}'")
        elif what == "remove":
            documents.remove(one, row)
        elif what == "again":
            documents.remove(one, row)
            # Room that a transaction freed, it may use again.
            documents.add(one, replace(row, title="again", body=body, data=data), how)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_each_commit_leaves_the_rows_that_a_load_at_its_scn_would_read(seed: int) -> None:
    documents = Documents()
    there = [Document(key, f"title {key}", "body", b"data", f"A{key}") for key in (0, 1, 2, 100, 101)]
    documents.history.append((FIRST - 10, {row.address: row for row in there}))
    writers = Writers(documents)
    for step in steps_of(Random(seed)):
        writers.step(*step)
    chunks = drain(documents)
    asked = {change.position.commit for change in reloads(chunks)}
    # A key that was moved and moved back counts as gone from two places: it is said, not guessed.
    assert all(documents.disturbed[commit] for commit in asked)
    found = events(chunks, TABLE)
    for (before_at, _), (at, _) in pairwise(documents.history[1:]):
        before, after = documents.as_of(before_at), documents.as_of(at)
        of_commit = [row for row in found if row["_commit_position"] == at]
        if at in asked:
            continue
        assert len({row["ID"] for row in of_commit}) == len(of_commit)
        made = {key: row.values for key, row in before.items()}
        for row in of_commit:
            key = row["ID"]
            assert row["_op"] == {(0, 1): "I", (1, 1): "U", (1, 0): "D"}[(key in before, key in after)]
            if row["_op"] == "D":
                del made[key]
                assert documents.disturbed[at] or row["TITLE"] == before[key].title
                continue
            made[key] = tuple(row[name] for name in NAMES)
            if row["_op"] == "U":
                changed = before[key].title != after[key].title
                exact = {"TITLE": before[key].title} if changed else {}
                # Of what a rollback to a savepoint touched, the old row is not told.
                assert json.loads(row["_before"]) in ([exact, {}] if documents.disturbed[at] else [exact])
        assert made == {key: row.values for key, row in after.items()}
        places = [(row["_sequence"], row["_op"] != "D") for row in of_commit]
        assert places == sorted(places)
