"""A value is taken as it was given, and refused rather than shown."""

from __future__ import annotations

import getpass
import io
import traceback
import warnings

import pytest

from replication_assets.cli.secrets_input import read_value
from replication_assets.errors import SecretError

CANARY = "canary-b7a2"


class Piped(io.TextIOWrapper):
    def __init__(self, given: bytes) -> None:
        super().__init__(io.BytesIO(given))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (b"plain", "plain"),
        (b"line\n", "line"),
        (b"line\r\n", "line"),
        (b"line\r", "line\r"),
        (b"two\n\n", "two\n"),
        (b" spaces \n", " spaces "),
        ("grün\n".encode(), "grün"),
    ],
)
def test_one_line_end_is_no_part_of_a_piped_value_and_all_else_is(
    monkeypatch: pytest.MonkeyPatch, given: bytes, value: str
) -> None:
    monkeypatch.setattr("sys.stdin", Piped(given))
    assert read_value("it").reveal() == value


@pytest.mark.parametrize("given", [b"", b"\n", CANARY.encode() + b"\xff"])
def test_nothing_and_what_is_no_text_are_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, given: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", Piped(given))
    with pytest.raises(SecretError) as refused:
        read_value("it")
    assert CANARY not in "".join(traceback.format_exception(refused.value))


def test_a_terminal_that_would_show_what_is_typed_is_not_typed_into(monkeypatch: pytest.MonkeyPatch) -> None:
    def showing(prompt: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return CANARY

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", showing)
    with pytest.raises(SecretError, match="shows what is typed"):
        read_value("it")


def test_an_empty_answer_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "")
    with pytest.raises(SecretError, match="no value was given"):
        read_value("it")
