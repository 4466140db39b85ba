"""What is wrong with a watch is told at load, and no token that was given as text survives."""

from __future__ import annotations

from typing import Any

import pytest

from replication_assets.catalog import (
    Catalog,
    CloudWatch,
    DeltaProjection,
    Email,
    EnvVar,
    EventStoreConfig,
    PostgresSourceConfig,
    Prometheus,
    Sns,
    Table,
    Watch,
    Webhook,
)

TOPIC = "arn:aws:sns:eu-central-1:123456789012:alarms"
MAIL: dict[str, Any] = {"sender": "watch@example.com", "recipients": ["data@example.com"]}


def problems(watch: Watch, **table: Any) -> list[str]:
    catalog = Catalog(
        EventStoreConfig("store"),
        (PostgresSourceConfig("shop", host="db", database="shop", user="reader"),),
        (Table("shop.public.orders", **table),),
        watch=watch,
    )
    return list(catalog.problems())


def test_a_sound_watch_is_accepted_whole() -> None:
    watch = Watch(
        lag_sla_seconds=60,
        headroom_hours=12,
        headroom_bytes=10**9,
        notify=[
            Webhook(EnvVar("HOOK"), headers={"Authorization": EnvVar("HOOK_KEY"), "X-Team": "data"}),
            Webhook("https://alerts.example.com/replication", events=["slot", "failure"]),
            Webhook("http://127.0.0.1:8080/hook"),
            Sns(TOPIC),
            Email("mail.example.com", user="watch", password=EnvVar("SMTP_PASSWORD"), **MAIL),
        ],
        metrics=[CloudWatch(dimensions={"Environment": "production"}), Prometheus("/var/lib/x.prom")],
    )
    assert problems(watch, lag_sla_seconds=10.5) == []


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        (Watch(lag_sla_seconds=0), "watch: lag_sla_seconds is not above 0"),
        (Watch(headroom_hours=float("nan")), "watch: headroom_hours is not above 0"),
        (Watch(headroom_bytes=0), "watch: headroom_bytes is not above 0"),
        (Watch(every_seconds=1), "watch: every_seconds 1 is not between 5 and 3600"),
        (Watch(lag_sla_seconds="5"), "watch: lag_sla_seconds is of type str"),  # type: ignore[arg-type]
        (Watch(notify=["https://x"]), "watch: notify is of other contents"),  # type: ignore[list-item]
        (Watch(notify=[Webhook("http://example.com/x")]), "notify 1 (Webhook): url is not https"),
        (Watch(notify=[Webhook("not a url")]), "notify 1 (Webhook): url is not https"),
        (Watch(notify=[Webhook("https://x.de", events=[])]), "events is empty"),
        (Watch(notify=[Webhook("https://x.de", events=["lags"])]), "events is of other contents"),  # type: ignore[list-item]
        (Watch(notify=[Webhook("https://x.de")] * 2), "the same Webhook stands there twice"),
        (Watch(notify=[Sns("arn:aws:sqs:eu:1:x")]), "topic_arn is no SNS topic"),
        (Watch(notify=[Email("", **MAIL)]), "host is empty"),
        (Watch(notify=[Email("m", port=0, **MAIL)]), "port 0 is not between"),
        (Watch(notify=[Email("m", sender="me", recipients=["a@b"])]), "'me' is no e-mail address"),
        (Watch(notify=[Email("m", sender="a@b", recipients=[])]), "has no recipients"),
        (Watch(notify=[Email("m", user="u", **MAIL)]), "a user or a password, but not both"),
        (
            Watch(notify=[Email("m", user="u", password=EnvVar("P"), tls="none", **MAIL)]),
            "a password would go unencrypted",
        ),
        (Watch(metrics=[CloudWatch("AWS/DMS")]), "namespace is not allowed"),
        (Watch(metrics=[CloudWatch(dimensions={f"d{n}": "x" for n in range(28)})]), "27 at most"),
        (Watch(metrics=[Prometheus("figures.txt")]), "does not end in .prom"),
        (Watch(metrics=[Prometheus("a.prom"), Prometheus("a.prom")]), "2 write a.prom"),
    ],
)
def test_a_watch_that_cannot_work_is_refused(watch: Watch, said: str) -> None:
    (problem,) = problems(watch)
    assert said in problem
    assert "Fix: " in problem


def test_limits_of_one_table_and_one_projection_are_checked() -> None:
    assert (
        "table shop.public.orders: lag_sla_seconds is not above 0" in problems(Watch(), lag_sla_seconds=-1)[0]
    )
    late = DeltaProjection("lake", tables=["shop.*"], root="lake", freshness_seconds=0)
    catalog = Catalog(
        EventStoreConfig("store"),
        (PostgresSourceConfig("shop", host="db", database="shop", user="reader"),),
        (Table("shop.public.orders"),),
        (late,),
    )
    (problem,) = catalog.problems()
    assert "projection lake: freshness_seconds is not above 0" in problem


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.chat.example/services/T0AB1CD2E/B0FG3HI4J/abCD12efGH34ijKL56mnOP78",
        "https://chat.example/hooks/4f9c1d2e3b4a5f6e7d8c9b0a1f2e3d4c",
        "https://alerts.example/in?token=abc123",
        "https://alerts.example/in?region=eu&sig=abc123",
        "https://user:abc123@alerts.example/in",
    ],
)
def test_an_address_with_a_token_is_dropped_and_asked_for_by_reference(url: str) -> None:
    channel = Webhook(url)
    (problem,) = problems(Watch(notify=[channel]))
    assert "url holds a credential (dropped). Fix: give it by reference" in problem
    for secret in ("abCD12", "4f9c1d2e", "abc123"):
        assert secret not in repr(channel) + problem


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "cookie", "X-Hub-Signature"])
def test_a_secret_header_is_dropped_and_asked_for_by_reference(name: str) -> None:
    channel = Webhook("https://alerts.example", headers={name: "abc123"})
    (problem,) = problems(Watch(notify=[channel]))
    assert "headers holds a credential (dropped)" in problem
    assert "abc123" not in repr(channel) + problem


def test_a_password_as_text_is_dropped() -> None:
    channel = Email("m", user="u", password="abc123", **MAIL)  # type: ignore[arg-type]
    (problem,) = problems(Watch(notify=[channel]))
    assert "password holds a credential (dropped)" in problem
    assert "abc123" not in repr(channel) + problem
