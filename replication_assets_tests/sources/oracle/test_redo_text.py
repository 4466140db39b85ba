"""LogMiner's statements are taken apart as they were put together, and nothing else is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.sources.oracle.logminer.redo_text import (
    NULL,
    Image,
    NotUnderstood,
    Value,
    parse_redo,
)

NAMES = st.text(min_size=1, max_size=12).filter(lambda name: '"' not in name and "\0" not in name)
TEXTS = st.text(min_size=1, max_size=40)
VALUES = st.one_of(
    st.just(NULL),
    TEXTS.map(Value),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda each: Value(str(each))),
    st.tuples(
        TEXTS,
        st.sampled_from(["TO_DATE", "TO_TIMESTAMP", "TO_TIMESTAMP_TZ", "TO_DSINTERVAL", "HEXTORAW"]),
    ).map(lambda pair: Value(*pair)),
)
IMAGES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6)


def literal(value: Value) -> str:
    if value.text is None:
        return "NULL"
    text = "'" + value.text.replace("'", "''") + "'"
    if value.function == "TO_DATE":
        return f"TO_DATE({text}, 'SYYYY-MM-DD HH24:MI:SS')"
    return f"{value.function}({text})" if value.function else text


def conditions(image: Image) -> str:
    return " and ".join(
        f'"{name}" IS NULL' if value.text is None else f'"{name}" = {literal(value)}'
        for name, value in image.items()
    )


@given(NAMES, NAMES, IMAGES)
def test_an_insert_is_its_row(owner: str, table: str, image: Image) -> None:
    names = ",".join(f'"{name}"' for name in image)
    text = f'insert into "{owner}"."{table}"({names}) values ({",".join(map(literal, image.values()))})'
    for printed in (text, text + ";"):
        found = parse_redo(printed)
        assert (found.operation, found.owner, found.table) == ("I", owner, table)
        assert (found.new, found.old) == (image, {})


@given(NAMES, NAMES, IMAGES, IMAGES)
def test_an_update_is_what_it_sets_and_the_row_of_before(
    owner: str, table: str, new: Image, old: Image
) -> None:
    sets = ", ".join(f'"{name}" = {literal(value)}' for name, value in new.items())
    found = parse_redo(f'update "{owner}"."{table}" set {sets} where {conditions(old)}')
    assert (found.operation, found.new, found.old) == ("U", new, old)


@given(NAMES, NAMES, IMAGES)
def test_a_delete_is_the_row_of_before(owner: str, table: str, old: Image) -> None:
    found = parse_redo(f'delete from "{owner}"."{table}" where {conditions(old)}')
    assert (found.operation, found.old, found.new) == ("D", old, {})


def told(statement: str) -> str | None:
    """What the error says; None without one."""
    try:
        parse_redo(statement)
    except NotUnderstood as error:
        return str(error)
    return None


@given(st.text(max_size=60))
def test_any_other_text_is_not_understood_and_not_quoted(text: str) -> None:
    for statement in (text, f'insert into "A"."B"("C") values ({text})', f'delete from "A"."B" where {text}'):
        assert told(statement) in (None, "neither insert, update nor delete") or not [
            word for word in text.split() if len(word) > 3 and word in (told(statement) or "")
        ]


@given(st.text(min_size=1, max_size=20))
def test_national_text_is_read_from_its_units(text: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        return
    units = text.encode("utf-16-be")
    escaped = "".join(f"\\{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    found = parse_redo(
        f'insert into "A"."B"("C","D") values (UNISTR(\'{escaped}\'),\'a\' || UNISTR(\'\\\\\'))'
    )
    assert found.new == {"C": Value(text), "D": Value("a\\")}


@pytest.mark.parametrize(
    "statement",
    [
        'insert into "A"."B"("C") values (EMPTY_CLOB)',
        'insert into "A"."B"("C") values (Unsupported Type)',
        'insert into "A"."B"("C","D") values (\'1\')',
        'insert into "A"."B"("C","C") values (\'1\',\'2\')',
        'insert into "A"."B"("C") values (UNISTR(\'\\d83d\'))',
        'update "A"."B" set "C" = \'1\' where "C" = \'1\' or 1 = 1',
        'delete from "A"."B" where "C" = \'1',
        'merge into "A"."B"',
        "",
    ],
)
def test_what_is_not_of_the_documented_form_is_refused(statement: str) -> None:
    with pytest.raises(NotUnderstood):
        parse_redo(statement)


def test_an_empty_text_is_null() -> None:
    found = parse_redo('insert into "A"."B"("C","D") values (\'\',HEXTORAW(\'\'))')
    assert found.new == {"C": NULL, "D": NULL}
