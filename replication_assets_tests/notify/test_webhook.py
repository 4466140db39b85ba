"""A webhook gets one POST with everything, or the delivery fails and shows no secret."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from replication_assets.errors import DeliveryError, SecretError
from replication_assets.notify.webhook import WebhookNotifier
from replication_assets.secret_references import EnvVar
from replication_assets_tests.notify.receivers import certificate, web_receiver
from replication_assets_tests.notify.samples import LAG, SLOT


def test_a_receiver_gets_text_for_people_and_objects_for_programs() -> None:
    with web_receiver() as receiver:
        WebhookNotifier(receiver.url).send([LAG, SLOT])
    (body,) = receiver.bodies
    assert body["notifications"][0] == {
        "id": "id-1",
        "kind": "lag",
        "phase": "started",
        "subject": "shop",
        "what": "capture is 400 s behind the source",
        "fix": "see whether the capture runs",
        "since": "2026-03-04T05:06:07+00:00",
        "at": "2026-03-04T05:06:07+00:00",
    }
    assert body["notifications"][1]["what"] == "over: 1.0 GiB left — größer"
    assert body["text"].startswith("lag: shop and 1 more\n\n")
    assert "shop: capture is 400 s behind the source Fix: see whether the capture runs" in body["text"]
    assert receiver.headers[0]["Content-Type"] == "application/json"


def test_address_and_headers_are_read_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", "s3cret")
    with web_receiver() as receiver:
        monkeypatch.setenv("HOOK", f"{receiver.url}/services/T0/B0/tokentoken?code=1")
        WebhookNotifier(EnvVar("HOOK"), {"X-Api-Key": EnvVar("HOOK_KEY"), "X-Team": "data"}).send([LAG])
    assert receiver.paths == ["/services/T0/B0/tokentoken?code=1"]
    assert receiver.headers[0]["X-Api-Key"] == "s3cret"
    assert receiver.headers[0]["X-Team"] == "data"


def test_https_is_verified(tmp_path: Path) -> None:
    own = certificate(tmp_path)
    with web_receiver(own) as receiver:
        with pytest.raises(DeliveryError, match="TLS"):
            WebhookNotifier(receiver.url).send([LAG])
        WebhookNotifier(receiver.url, cafile=str(own.file)).send([LAG])
    assert len(receiver.told()) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_answer_that_is_no_success_is_a_failure(status: int) -> None:
    with web_receiver() as receiver:
        receiver.status = status
        with pytest.raises(DeliveryError, match=f"webhook 127.0.0.1: it answered {status}"):
            WebhookNotifier(receiver.url).send([LAG])


def test_a_redirect_is_a_failure_and_is_not_followed() -> None:
    with web_receiver() as receiver:
        receiver.status, receiver.location = 302, f"{receiver.url}/elsewhere"
        with pytest.raises(DeliveryError, match="it answered 302"):
            WebhookNotifier(receiver.url).send([LAG])
    assert receiver.paths == ["/"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/secret-path", "not reached"),
        ("http://example.com/secret-path", "not https"),
        ("https://no such host/secret-path", "no sound answer|not reached"),
        ("https://127.0.0.1:1/secret-path?token=secret-path", "not reached"),
    ],
)
def test_an_error_says_what_failed_and_never_the_address(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", url)
    with pytest.raises(DeliveryError, match=said) as raised:
        WebhookNotifier(EnvVar("HOOK")).send([LAG])
    shown = "".join(traceback.format_exception(raised.value)) + repr(WebhookNotifier(url))
    assert "secret-path" not in shown
    assert "environment variable HOOK" in str(raised.value)


def test_a_header_that_http_cannot_carry_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", "s3cret\nline")
    with web_receiver() as receiver, pytest.raises(DeliveryError) as raised:
        WebhookNotifier(receiver.url, {"X-Api-Key": EnvVar("HOOK_KEY")}).send([LAG])
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))


def test_a_reference_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    with pytest.raises(SecretError, match="HOOK"):
        WebhookNotifier(EnvVar("HOOK")).send([LAG])
