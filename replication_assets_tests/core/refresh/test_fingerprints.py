"""Fingerprints: raw values are found wherever they stand in a copy, and nothing else is."""

import datetime as dt
import pickle
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.masking.rules import (
    Constant,
    DateShift,
    Email,
    FreeText,
    JsonPaths,
    Keep,
    Null,
    PersonName,
    Rule,
)
from replication_assets.core.refresh.fingerprints import LEAST, RARE, Found, RawFingerprints, is_looked_for
from replication_assets.errors import GuardError

KEY = b"an ephemeral key"
MAIL = "canary.person@example.com"


def _fingerprints(*values: str, most: int = 1000) -> RawFingerprints:
    found = RawFingerprints(KEY, most=most)
    found.add(pa.array(values, pa.string()))
    return found


def _count(found: RawFingerprints, *values: str | None) -> int:
    return found.count(pa.array(values, pa.string()))


values = st.text("abcdefgh ABCDEFÄéß", min_size=LEAST, max_size=40).map("w{}".format)


@given(st.lists(values, max_size=20, unique_by=str.lower), st.text("xyz", max_size=30))
@settings(max_examples=60, deadline=None)
def test_whole_values_are_found_and_others_are_not(raw: list[str], other: str) -> None:
    found = _fingerprints(*raw)

    assert _count(found, *raw) == len(raw)
    assert _count(found, other, None, "") == 0


@pytest.mark.parametrize(
    "text",
    [
        f"Dear all, please write to {MAIL}, or call. Thank you for your attention to this matter.",
        f'{{"a": "{MAIL}", "b": "something that is long enough to be looked through piece by piece"}}',
        f"<note><to>{MAIL}</to><body>words words words words words words words words</body></note>",
        f"a text of more than sixty-four characters that ends with what it must not tell: {MAIL}.",
        f"mailto={MAIL}|name=masked|more=words|more=words|more=words|more=words|more=words",
    ],
)
def test_a_value_in_a_longer_text_is_found(text: str) -> None:
    assert len(text) > 64
    assert _count(_fingerprints(MAIL), text, text.replace(MAIL, "q3k@masked.invalid")) == 1


def test_addresses_and_long_numbers_within_raw_texts_are_looked_for() -> None:
    found = _fingerprints(f'{{"mail":"{MAIL}"}}', f"Call me on 4929123456781234, or {MAIL.replace('x', 'y')}")

    assert _count(found, MAIL.upper(), "4929123456781234", MAIL.replace("x", "y"), "Call me on") == 3


def test_values_of_any_type_are_found_by_their_text() -> None:
    found = RawFingerprints(KEY)
    found.add(pa.array([4929123456781234, 5], pa.int64()))
    found.add(pa.array([b"\xff\x00 binary data"]))

    assert _count(found, "4929123456781234", "5") == 1
    assert found.count(pa.array([b"\xff\x00 binary data", b"\xff" * 80])) == 1
    assert found.count(pa.array([4929123456781234, 7])) == 1
    assert found.count(pa.array([True, None])) == 0


def test_numbers_that_a_mask_may_make_of_others_dates_and_amounts_are_not_looked_for() -> None:
    found = _fingerprints("+49 151 1234567", "123-45-6789", "12345678")
    found.add(pa.array([dt.datetime(2001, 2, 3)]))
    found.add(pa.array([Decimal("12345678901234567.00")]))

    assert len(found) == 0


@pytest.mark.parametrize(
    ("rule", "looked_for"),
    [
        (Email(), True),
        (Null(), True),
        (FreeText(), True),
        (JsonPaths({"$.mail": Email()}), True),
        (JsonPaths({"$.mail": Keep()}), False),
        (Keep(), False),
        (PersonName(), False),
        (DateShift(), False),
    ],
)
def test_what_is_looked_for_depends_on_the_rule_that_replaces_it(rule: Rule, looked_for: bool) -> None:
    found = RawFingerprints(KEY)
    found.add_column(rule, pa.array([MAIL]))

    assert _count(found, MAIL) == looked_for == is_looked_for(rule)


def test_a_constant_is_not_taken_for_a_raw_value_that_is_equal_to_it() -> None:
    found = RawFingerprints(KEY)
    found.add_column(Constant("not a secret"), pa.array(["not a secret", "a real secret"]))

    assert _count(found, "not a secret", "a real secret") == 1


def test_values_of_many_rows_of_lists_and_short_ones_are_not_looked_for() -> None:
    common, listed = "Bartholomew", "Wilhelmina"
    found = _fingerprints(*[common] * (RARE + 1), *[MAIL] * RARE, listed, "short")
    found.forget(pa.array([listed, "Maximilian"]))

    assert _count(found, common, listed, "short") == 0
    assert _count(found, MAIL) == 1
    assert len(found) == 1


def test_hits_are_told_by_table_and_column_without_the_value() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"id": [1, 2], "email": ["x@masked.invalid", MAIL], "notes": ["", MAIL]}
    )
    found = _fingerprints(MAIL).find("shop.public.customers", batch)

    assert found == (
        Found("shop.public.customers", "email", 1),
        Found("shop.public.customers", "notes", 1),
    )
    assert MAIL not in repr(found)


def test_in_a_column_that_is_kept_only_addresses_and_long_numbers_are_leaks() -> None:
    found = _fingerprints("delivered", MAIL, "4929-1234-5678-1234")
    values = ["delivered", MAIL, f"delivered to {MAIL}", "nothing"]
    batch = pa.RecordBatch.from_pydict({"status": values})

    assert found.find("shop.public.orders", batch)[0].hits == 3
    assert found.find("shop.public.orders", batch, kept={"status"})[0].hits == 2


def test_too_many_values_are_sampled_by_their_words_and_the_share_is_told() -> None:
    values = [f"person{number}@example.com" for number in range(4_000)]
    found = _fingerprints(*values[:2_000], most=1_000)
    found.add(pa.array(values[2_000:]))

    assert len(found) <= 1_000
    assert found.share in (0.25, 0.125)
    assert _count(found, *values) == len(found)
    assert len(found) > 300


def test_all_values_are_looked_for_while_there_is_room() -> None:
    assert _fingerprints(MAIL).share == 1.0


def test_fingerprints_neither_print_nor_leave_their_process() -> None:
    found = _fingerprints(MAIL)

    assert repr(found) == "RawFingerprints(1 values seen)"
    with pytest.raises(GuardError, match="do not leave their process"):
        pickle.dumps(found)
