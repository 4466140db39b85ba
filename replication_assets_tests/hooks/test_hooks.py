"""What a switch hook is told, and what counts as its failure."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from replication_assets.errors import HookFailed, SecretError
from replication_assets.hooks.function import FunctionHook
from replication_assets.hooks.webhook import HttpHook
from replication_assets.ports import HookCall
from replication_assets.secret_references import EnvVar
from replication_assets_tests.hooks.receiver import Receiver, listening

CALL = HookCall("to_lake", "switch", "a1", "lake", ("app.public.orders",), {"app": "1-2-3"})
CALLS: list[HookCall] = []


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


def remember(call: HookCall) -> None:
    CALLS.append(call)


def refuse(_: HookCall) -> None:
    raise RuntimeError("password hunter2 was refused")


def test_a_webhook_is_told_everything_and_recognises_a_repetition(receiver: Receiver) -> None:
    for _ in range(2):
        HttpHook(f"{receiver.url}/switch").call(CALL)
    assert receiver.received[0] == {
        "cutover": "to_lake",
        "direction": "switch",
        "attempt": "a1",
        "projection": "lake",
        "tables": ["app.public.orders"],
        "positions": {"app": "1-2-3"},
    }
    assert receiver.keys == ["a1-switch", "a1-switch"]


@pytest.mark.parametrize("answer", [301, 302, 400, 404, 500, 503])
def test_any_answer_but_2xx_is_a_failure_and_is_not_followed(receiver: Receiver, answer: int) -> None:
    receiver.answer = answer
    with pytest.raises(HookFailed, match=f"answered {answer}"):
        HttpHook(f"{receiver.url}/token-4711").call(CALL)
    assert receiver.paths == ["/token-4711"]


def test_a_webhook_that_is_not_there_or_stays_silent_fails_without_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/token-4711"
        with pytest.raises(HookFailed) as raised:
            HttpHook(url, seconds=0.2).call(CALL)
        assert "token" not in str(raised.value) + repr(HttpHook(url))
    with pytest.raises(HookFailed, match="not reached") as raised:
        HttpHook(url).call(CALL)
    assert "token" not in str(raised.value)


def test_the_address_of_a_webhook_can_be_a_reference(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SecretError):
        HttpHook(EnvVar("SWITCH_URL")).call(CALL)
    monkeypatch.setenv("SWITCH_URL", f"{receiver.url}/token-4711")
    HttpHook(EnvVar("SWITCH_URL")).call(CALL)
    assert receiver.paths == ["/token-4711"]


@pytest.mark.parametrize("scheme", ["file://", "ftp://127.0.0.1", "data:,"])
def test_an_address_that_nobody_answers_http_at_is_a_failure(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that can be opened is no receiver that was told."""
    token = tmp_path / "token-4711"
    token.write_text("x")
    monkeypatch.setenv("SWITCH_URL", f"{scheme}{token}")
    with pytest.raises(HookFailed, match="not http") as raised:
        HttpHook(EnvVar("SWITCH_URL")).call(CALL)
    assert "token" not in str(raised.value)


def test_a_function_is_called_with_the_call() -> None:
    CALLS.clear()
    FunctionHook(f"{__name__}:remember").call(CALL)
    assert CALLS == [CALL]


@pytest.mark.parametrize("path", ["no_such_module:f", f"{__name__}:no_such_function"])
def test_a_function_that_does_not_exist_is_a_failure(path: str) -> None:
    with pytest.raises(HookFailed, match="cannot be imported"):
        FunctionHook(path).call(CALL)


def test_a_function_that_raises_is_a_failure_whose_words_are_not_repeated() -> None:
    with pytest.raises(HookFailed, match="raised RuntimeError") as raised:
        FunctionHook(f"{__name__}:refuse").call(CALL)
    assert "hunter2" not in str(raised.value)
    assert isinstance(raised.value.__cause__, RuntimeError)
