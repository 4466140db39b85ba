"""Statements of the log taken apart: what they do to which tables, whatever they are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.sources.mysql.binlog.definitions import DatabaseDropped, Effect, effects
from replication_assets.sources.mysql.binlog.events import Query
from replication_assets.sources.mysql.binlog.statements import Kind, kind_of, tokens


def told(statement: str, *, escapes: bool = True) -> list[tuple[str, str, str]]:
    """Database, table and reason of each effect; the database alone where it is dropped."""
    found = []
    for effect in effects(Query("d", statement, escapes)):
        if isinstance(effect, DatabaseDropped):
            found.append((effect.name, "", "dropped"))
        else:
            assert isinstance(effect, Effect)
            found.append((effect.table.schema, effect.table.name, effect.reason))
    return found


HARMLESS = [
    "CREATE INDEX i ON t (v)",
    "CREATE TABLE IF NOT EXISTS t (a INT)",
    "CREATE TEMPORARY TABLE t (a INT)",
    "DROP TEMPORARY TABLE t",
    "DROP VIEW t",
    "CREATE DEFINER=`a`@`b` TRIGGER t BEFORE INSERT ON t FOR EACH ROW BEGIN DELETE FROM t; END",
    "ALTER TABLE t ADD COLUMN a INT NULL DEFAULT NULL COMMENT 'NOT NULL, DEFAULT 5'",
    "ALTER TABLE t ADD a ENUM('x, DROP y', 'b') AFTER b, ADD INDEX (a), ALGORITHM=INSTANT",
    "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (a) ON DELETE RESTRICT",
    "ALTER TABLE t ALTER COLUMN a SET DEFAULT 5, ADD PARTITION (PARTITION p VALUES LESS THAN (5))",
    "ALTER DATABASE d CHARACTER SET latin1",
    "RENAME USER a TO b",
]


@pytest.mark.parametrize("statement", HARMLESS)
def test_what_leaves_rows_as_they_are_has_no_effect(statement: str) -> None:
    assert told(statement) == []


EFFECTS = [
    ("TRUNCATE t", [("d", "t", "")]),
    ("TRUNCATE TABLE `e`.`t``x` /* generated */", [("e", "t`x", "")]),
    (
        "DROP TABLE IF EXISTS a, `e`.b CASCADE",
        [("d", "a", "the table was dropped"), ("e", "b", "the table was dropped")],
    ),
    ("DROP DATABASE IF EXISTS `e`", [("e", "", "dropped")]),
    (
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (a) ON DELETE SET NULL",
        [("d", "t", "from here on a foreign key changes rows of it, which the log does not tell")],
    ),
    (
        "ALTER TABLE t TRUNCATE PARTITION p",
        [("d", "t", "rows came or went with a partition (TRUNCATE PARTITION)")],
    ),
    ("ALTER TABLE t DROP PARTITION p", [("d", "t", "a partition was dropped with its rows")]),
    (
        "ALTER TABLE t FROBNICATE",
        [("d", "t", "it was altered in a way that is not known to leave its rows alone")],
    ),
    (
        "ALTER ONLINE IGNORE TABLE t ENGINE=MyISAM",
        [("d", "t", "its engine was changed to one without transactions")],
    ),
    ("/*!50003 ALTER TABLE t */ /*M!100000 MODIFY a INT */", [("d", "t", "column a was changed")]),
    (
        "ALTER TABLE t -- a comment\n DROP a, ADD COLUMN IF NOT EXISTS a INT",
        [("d", "t", "column a was dropped and added again")],
    ),
]


@pytest.mark.parametrize(("statement", "expected"), EFFECTS, ids=[each[0][:40] for each in EFFECTS])
def test_what_changes_rows_is_told_of_its_tables(
    statement: str, expected: list[tuple[str, str, str]]
) -> None:
    assert told(statement) == expected


def test_a_backslash_ends_no_string_where_it_does_not_escape() -> None:
    statement = "ALTER TABLE t COMMENT 'C:\\', ADD a INT NOT NULL, COMMENT 'x'"
    assert told(statement, escapes=False)[0][2].startswith("column a was added")
    assert told(statement.replace("\\", "\\'"), escapes=True) != []


@given(text=st.text(st.sampled_from("`'\"\\/*!#-; (),.aAT0\n") | st.characters(exclude_categories=["Cs"])))
def test_any_text_is_taken_apart_and_of_some_kind(text: str) -> None:
    for escapes in (True, False):
        query = Query("d", text, escapes)
        assert isinstance(kind_of(query), Kind)
        assert all(token.text for token in tokens(query) if token.kind != "quoted")
        for verb in ("ALTER TABLE", "RENAME TABLE", "DROP TABLE", "TRUNCATE", "CREATE TABLE"):
            told(f"{verb} {text}", escapes=escapes)
