"""The member that says which message of its stream it is comes first, and is read back from any message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.envelopes.headers import Numbered
from replication_assets.core.envelopes.number_member import member_of, numbered_by_member, with_member
from replication_assets.core.positions import Position

NAMES = st.text(min_size=1, max_size=20)
AT = Position(1, 2, 3)


@given(NAMES, NAMES, st.integers(1, 2**62), st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_it_is_read_back_and_the_rest_of_the_message_is_as_it_was(
    stream: str, table: str, number: int, rest: dict[str, str]
) -> None:
    rest.pop("replication", None)
    for value in (json.dumps(rest).encode(), json.dumps(rest, indent="\t").encode()):
        message = with_member(value, member_of(stream, table, number, AT))
        told = json.loads(message)
        assert told.pop("replication") == {
            "stream": stream, "table": table, "number": number, "position": str(AT)
        }  # fmt: skip
        assert told == rest
        assert numbered_by_member(message) == Numbered(stream, table, number)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b'{"data":{"replication":1}}',
        b'{"replication":17}',
        b'{"replication":{"stream":"s","table":"t"}}',
        b'{"replication":{"stream":"s","table":"t","number":"1"}}',
        b'{"replication":{"stream":"s","table":"t","number":true}}',
        b'{"replication":{"stream":"s","table":"t","number":0}}',
        b'{"replication":{"stream":"s',
        b'{"replication":\xff\xfe',
    ],
)
def test_messages_of_others_have_no_number(message: bytes) -> None:
    assert numbered_by_member(message) is None


@pytest.mark.parametrize("value", [b"", b"[1]", b"null", b"{"])
def test_what_is_no_object_gets_none(value: bytes) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        with_member(value, member_of("s", "t", 1, AT))
