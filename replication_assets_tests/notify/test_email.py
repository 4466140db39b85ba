"""E-mail goes out encrypted and with a login where one is declared, or the delivery fails."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from replication_assets.errors import DeliveryError
from replication_assets.notify.email import EmailNotifier
from replication_assets.secret_references import EnvVar
from replication_assets_tests.notify.receivers import certificate, mail_receiver
from replication_assets_tests.notify.samples import LAG, SLOT

TEAM = ("data@example.com", "oncall@example.com")


def test_recipients_get_subject_and_text() -> None:
    with mail_receiver() as receiver:
        EmailNotifier("127.0.0.1", receiver.port, "watch@example.com", TEAM, tls="none").send([LAG, SLOT])
    (mail,) = receiver.mail
    assert mail["Subject"] == "[replication] lag: shop and 1 more"
    assert mail["From"] == "watch@example.com"
    assert receiver.recipients == [list(TEAM)]
    text = mail.get_content()
    assert "LAG started, since 2026-03-04T05:06:07+00:00" in text
    assert "over: 1.0 GiB left — größer" in text


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_login_goes_over_a_verified_encrypted_connection(
    tls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "s3cret")
    own = certificate(tmp_path)
    with mail_receiver(own, password="s3cret", implicit=tls == "implicit") as receiver:
        account = ("watch", EnvVar("SMTP_PASSWORD"), tls)
        with pytest.raises(DeliveryError, match="TLS"):
            EmailNotifier("127.0.0.1", receiver.port, "watch@example.com", TEAM, *account).send([LAG])
        assert receiver.logins == []
        trusting = EmailNotifier(
            "127.0.0.1", receiver.port, "watch@example.com", TEAM, *account, str(own.file)
        )
        trusting.send([LAG])
    assert receiver.logins == ["watch"]
    assert len(receiver.mail) == 1
    assert receiver.encrypted == [True]


def test_a_wrong_password_fails_and_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "wr0ng")
    own = certificate(tmp_path)
    with mail_receiver(own, password="s3cret") as receiver, pytest.raises(DeliveryError) as raised:
        EmailNotifier(
            "127.0.0.1",
            receiver.port,
            "watch@example.com",
            TEAM,
            "watch",
            EnvVar("SMTP_PASSWORD"),
            cafile=str(own.file),
        ).send([LAG])
    assert "535" in str(raised.value)
    assert "wr0ng" not in "".join(traceback.format_exception(raised.value))


def test_a_server_without_starttls_gets_nothing() -> None:
    with mail_receiver() as receiver, pytest.raises(DeliveryError, match="STARTTLS"):
        EmailNotifier("127.0.0.1", receiver.port, "watch@example.com", TEAM).send([LAG])
    assert receiver.mail == []


def test_a_password_is_never_sent_unencrypted() -> None:
    notifier = EmailNotifier(
        "127.0.0.1", 1, "watch@example.com", TEAM, "watch", EnvVar("SMTP_PASSWORD"), tls="none"
    )
    with pytest.raises(DeliveryError, match="unencrypted"):
        notifier.send([LAG])


def test_a_refused_recipient_is_named_and_the_others_get_it_once() -> None:
    with mail_receiver() as receiver:
        receiver.refuses = "oncall@example.com"
        notifier = EmailNotifier("127.0.0.1", receiver.port, "watch@example.com", TEAM, tls="none")
        assert notifier.send([LAG]) == f"SMTP server 127.0.0.1:{receiver.port} refused oncall@example.com"
    assert receiver.recipients == [["data@example.com"]]


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(DeliveryError, match=r"SMTP server 127\.0\.0\.1:1: not reached"):
        EmailNotifier("127.0.0.1", 1, "watch@example.com", TEAM, tls="none").send([LAG])
