"""Rules of what is watched, and of the channels and monitoring systems it is told to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from urllib.parse import urlsplit

from replication_assets.declarations.base import Declaration, LiteralSecret
from replication_assets.declarations.tables import Table
from replication_assets.declarations.watch import (
    Channel,
    Email,
    MetricExport,
    Prometheus,
    Sns,
    Watch,
    Webhook,
)
from replication_assets.declared_types import type_problems

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_LOCAL = {"localhost", "127.0.0.1", "::1"}

_ABOVE_ZERO = ("lag_sla_seconds", "headroom_hours", "repeat_seconds", "settle_seconds")


def watch_problems(watch: Watch) -> Iterator[str]:
    """All that is wrong with what is watched, each with its place and its fix."""
    wrong = list(type_problems(watch))
    yield from (f"watch: {problem}" for problem in wrong)
    if wrong:
        return
    yield from (f"watch: {problem}" for problem in _limits(watch))
    for number, channel in enumerate(watch.notify, start=1):
        label = f"watch.notify {number} ({type(channel).__name__})"
        yield from (f"{label}: {problem}" for problem in _channel(channel))
    for number, sink in enumerate(watch.metrics, start=1):
        label = f"watch.metrics {number} ({type(sink).__name__})"
        yield from (f"{label}: {problem}" for problem in _export(sink))
    yield from _shared_files(watch.metrics)
    for channel in {channel for channel in watch.notify if watch.notify.count(channel) > 1}:
        yield f"watch.notify: the same {type(channel).__name__} stands there twice. Fix: once"


def sla_problems(table: Table) -> Iterator[str]:
    """Of the lag that one table may have."""
    if table.lag_sla_seconds is not None and not _positive(table.lag_sla_seconds):
        yield "lag_sla_seconds is not above 0. Fix: a number of seconds, or None for the one of watch"


def freshness_problems(freshness_seconds: float | None) -> Iterator[str]:
    """Of the age that one projection may have."""
    if freshness_seconds is not None and not _positive(freshness_seconds):
        yield "freshness_seconds is not above 0. Fix: a number of seconds, or None for the one of watch"


def _positive(number: float) -> bool:
    return 0 < number < float("inf")


def _limits(watch: Watch) -> Iterator[str]:
    for name in _ABOVE_ZERO:
        if not _positive(getattr(watch, name)):
            yield f"{name} is not above 0. Fix: a number"
    if not 5 <= watch.every_seconds <= 3600:
        yield f"every_seconds {watch.every_seconds} is not between 5 and 3600. Fix: 30 is a start"
    for name in ("headroom_bytes", "retained_bytes"):
        value = getattr(watch, name)
        if value is not None and value <= 0:
            yield f"{name} is not above 0. Fix: a number of bytes"


def _channel(channel: Channel) -> Iterator[str]:
    wrong = list(_form(channel))
    yield from wrong
    if wrong:
        return
    if not channel.events:
        yield "events is empty, so nothing would ever be told. Fix: drop it for all of them"
    if isinstance(channel, Webhook):
        yield from _webhook(channel)
    elif isinstance(channel, Sns):
        if not _TOPIC.fullmatch(channel.topic_arn):
            yield "topic_arn is no SNS topic. Fix: arn:aws:sns:REGION:ACCOUNT:NAME"
    else:
        yield from _email(channel)


def _webhook(channel: Webhook) -> Iterator[str]:
    if isinstance(channel.url, str):
        parts = urlsplit(channel.url)
        local = parts.scheme == "http" and parts.hostname in _LOCAL
        if not parts.hostname or (parts.scheme != "https" and not local):
            yield "url is not https. Fix: https://..., or http:// on this machine only"


def _email(channel: Email) -> Iterator[str]:
    if not channel.host:
        yield "host is empty. Fix: the SMTP server"
    if not 1 <= channel.port <= 65535:
        yield f"port {channel.port} is not between 1 and 65535. Fix: usually 587, or 465 for tls='implicit'"
    if not channel.recipients:
        yield "has no recipients. Fix: at least one address"
    for address in (channel.sender, *channel.recipients):
        if not _ADDRESS.fullmatch(address):
            yield f"{address[:60]!r} is no e-mail address. Fix: name@domain"
    if (channel.user is None) != (channel.password is None):
        yield "has a user or a password, but not both. Fix: both, or neither"
    if channel.user is not None and channel.tls == "none":
        yield "a password would go unencrypted. Fix: tls='starttls' or tls='implicit'"


def _export(sink: MetricExport) -> Iterator[str]:
    wrong = list(_form(sink))
    yield from wrong
    if wrong:
        return
    if isinstance(sink, Prometheus):
        if not sink.file.endswith(".prom"):
            yield "file does not end in .prom, and the collector reads no other. Fix: name it so"
    elif not 1 <= len(sink.namespace) <= 255 or sink.namespace.startswith("AWS/"):
        yield "namespace is not allowed by CloudWatch. Fix: 1 to 255 characters, not AWS/..."
    elif len(sink.dimensions) > 27:
        yield "CloudWatch takes 30 dimensions, three of which are ours. Fix: 27 at most"


def _form(declared: Channel | MetricExport) -> Iterator[str]:
    secret = [each.name for each in fields(declared) if _is_secret(getattr(declared, each.name))]
    for name in secret:
        yield f"{name} holds a credential (dropped). Fix: give it by reference, as EnvVar('HOOK_URL')"
    yield from type_problems(declared, skip=secret)


def _is_secret(value: object) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else [value]
    return any(isinstance(part, LiteralSecret) for part in parts)


def _shared_files(sinks: Sequence[Declaration]) -> Iterator[str]:
    files = [sink.file for sink in sinks if isinstance(sink, Prometheus)]
    for file in sorted({file for file in files if files.count(file) > 1}):
        yield f"watch.metrics: {files.count(file)} write {file}. Fix: one"
