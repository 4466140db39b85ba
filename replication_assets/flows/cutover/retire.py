"""Retire: what replication keeps on a source is removed once a cutover is done with it.

The slot and the publications go, and it is proven that nothing is left. The event store and the
projection stay: the one is the history, the other is what readers read now.
"""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from replication_assets.core.cutover import CutoverHistory
from replication_assets.errors import CutoverError, SlotBusy
from replication_assets.flows.cutover.attempt import Attempt, record
from replication_assets.flows.cutover.handover import CutoverAdapters, Handover

RELEASE_SECONDS = 30.0
"""How long a capture that reads the stream is waited for; one by one they end by themselves."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """What was removed from the sources, and what stays by intention."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]


def retire(handover: Handover, *, confirm: str, force: bool = False) -> Retirement:
    """Tear down the sources of the cutover's tables. Idempotent.

    `confirm` is the name of the cutover, typed by a person. `force` retires one that did not pass
    or whose sources others need, and ends a capture that reads the stream.

    Raises:
        CutoverError: it may not be retired, or something is left nevertheless.
        SlotBusy: a capture reads the stream.
    """
    history = handover.log.history()
    problems = tuple(_problems(handover, history, confirm, force))
    if problems:
        raise CutoverError(
            "; ".join(problem for problem, _ in problems),
            where=handover.where,
            fix="; ".join(dict.fromkeys(fix for _, fix in problems)),
        )
    removed = tuple(line for source in handover.sources for line in _tear_down(handover, source, force))
    kept = tuple(_kept(handover))
    last = history.moved or history.last
    attempt = last.attempt if last is not None else uuid.uuid4().hex[:12]
    told = json.dumps({"removed": removed, "kept": kept, "forced": force})
    record(handover, Attempt(attempt, dt.datetime.now(dt.UTC), len(history.facts)), "retired", told)
    return Retirement(removed, kept)


def retired_by(adapters: CutoverAdapters, source: str) -> str | None:
    """The declared cutover that retired a source, if one did."""
    for cutover in adapters.catalog.cutovers:
        handover = Handover.of(adapters, cutover.name)
        if source in handover.sources and handover.log.history().retired is not None:
            return cutover.name
    return None


def _problems(
    handover: Handover, history: CutoverHistory, confirm: str, force: bool
) -> Iterator[tuple[str, str]]:
    name = handover.cutover.name
    if confirm != name:
        yield "it was not confirmed", f"give its name, {name}, as the confirmation"
    if force:
        return
    if not history.passed and history.retired is None:
        yield f"it did not pass ({history})", "run it until its watch passes, or force"
    for source in handover.sources:
        if others := sorted(_needing(handover, source)):
            yield (
                f"source {source} is needed by {', '.join(others)}",
                "take these out of the catalog, or force",
            )


def _needing(handover: Handover, source: str) -> Iterator[str]:
    """Other projections of the source's tables, and other cutovers that are not done with it."""
    catalog = handover.adapters.catalog
    for projection in catalog.projections:
        tables = catalog.projected(projection)
        if projection != handover.projection and any(table.id.source == source for table in tables):
            yield f"projection {projection.name}"
    for topics in catalog.topics:
        if any(table.id.source == source for table in catalog.projected(topics)):
            yield f"projection {topics.name}"
    for cutover in catalog.cutovers:
        if cutover != handover.cutover:
            other = Handover.of(handover.adapters, cutover.name)
            if source in other.sources and not _is_done(other.log.history()):
                yield f"cutover {cutover.name}"


def _is_done(history: CutoverHistory) -> bool:
    return history.passed or history.retired is not None


def _tear_down(handover: Handover, name: str, force: bool) -> Iterator[str]:
    source = handover.source(name)
    before = source.remains()
    deadline = time.monotonic() + RELEASE_SECONDS
    while True:
        try:
            source.teardown(force=force)
            break
        except SlotBusy as error:
            if time.monotonic() > deadline:
                raise SlotBusy(
                    error.what,
                    where=error.where,
                    fix=f"turn the sensor of {name} off, end its running capture, then again; or force",
                ) from error
            time.sleep(0.5)
    if left := source.remains():
        raise CutoverError(
            f"still there after the teardown of {name}: {'; '.join(left)}",
            where=handover.where,
            fix="let running loads end, then retire again",
        )
    yield from (f"{name}: {line}" for line in before)


def _kept(handover: Handover) -> Iterator[str]:
    yield f"the event store, {handover.adapters.catalog.event_store.root}: the history of every table"
    yield f"projection {handover.projection.name}: readers are there"
    for source in handover.sources:
        yield f"source {source}: its tables, and the role that replicated them with its grants"
