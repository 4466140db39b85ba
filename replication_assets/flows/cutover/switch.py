"""Switch and back: the two steps that move readers, each recorded before and after its hook."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

from replication_assets.core.cutover import CutoverHistory, Report
from replication_assets.declarations import Hook
from replication_assets.errors import CutoverError, ReplicationError
from replication_assets.flows.cutover.attempt import Attempt, attempt_of, record, require_go
from replication_assets.flows.cutover.handover import Handover
from replication_assets.ports import HookCall
from replication_assets.ports.cutover import Direction


def switch(handover: Handover, attempt: Attempt, report: Report) -> Attempt:
    """Point readers at the projection. If the hook fails, point them back.

    Raises:
        CutoverError: NO-GO. Nothing was switched.
        HookFailed, SecretError: the hook failed; it says what became of the way back.
        CommitConflict: somebody else runs this cutover. Nothing was switched by this attempt.
    """
    if attempt.switched_at is not None:
        return attempt
    require_go(handover, report)
    hook = handover.cutover.switch
    assert hook is not None, "a cutover without a hook is never GO"
    attempt = record(handover, attempt, "switching")
    try:
        _call(handover, attempt, hook, "switch")
    except ReplicationError as error:
        attempt = record(handover, attempt, "switch-failed", _failure(error))
        raise type(error)(
            f"the switch failed: {error.what}; {_take_back(handover, attempt)}",
            where=error.where,
            fix=error.fix,
        ) from error
    return replace(record(handover, attempt, "switched"), switched_at=dt.datetime.now(dt.UTC))


def _take_back(handover: Handover, attempt: Attempt) -> str:
    """What became of the way back, in words."""
    if handover.cutover.back is None:
        return "no way back is declared, so see where readers are"
    try:
        _go_back(handover, attempt, handover.cutover.back)
    except ReplicationError as error:
        return f"the way back failed too ({error.what}), so see where readers are"
    return "readers were taken back to the source"


def back(handover: Handover, *, by_hand: bool = False) -> None:
    """Take readers back to the source. With `by_hand`, only note that somebody did.

    Raises:
        CutoverError: readers are at the source as far as is known, or no way back is declared.
        HookFailed, SecretError: the hook failed.
    """
    history = handover.log.history()
    _refuse_back(handover, history, by_hand)
    moved = history.moved
    assert moved is not None, "refused above"
    attempt = attempt_of(history) or Attempt(moved.attempt, dt.datetime.now(dt.UTC), len(history.facts))
    if by_hand:
        record(handover, attempt, "back", json.dumps({"by": "hand"}))
        return
    assert handover.cutover.back is not None, "refused above"
    _go_back(handover, attempt, handover.cutover.back)


def _refuse_back(handover: Handover, history: CutoverHistory, by_hand: bool) -> None:
    if history.switched is None and history.unclear is None:
        raise CutoverError(
            "it has not switched, so readers are at the source",
            where=handover.where,
            fix="nothing is to be done",
        )
    if handover.cutover.back is None and not by_hand:
        raise CutoverError(
            "no way back is declared",
            where=handover.where,
            fix="declare back=WebhookHook(...); or take readers back yourself, and note it by hand",
        )


def _go_back(handover: Handover, attempt: Attempt, hook: Hook) -> None:
    attempt = record(handover, attempt, "going-back")
    try:
        _call(handover, attempt, hook, "back")
    except ReplicationError as error:
        record(handover, attempt, "back-failed", _failure(error))
        raise
    record(handover, attempt, "back")


def _call(handover: Handover, attempt: Attempt, hook: Hook, direction: Direction) -> None:
    handover.adapters.hook(hook).call(
        HookCall(
            handover.cutover.name,
            direction,
            attempt.id,
            handover.projection.name,
            tuple(str(table.id) for table in handover.tables),
            {window.source: str(window.last) for window in attempt.windows},
        )
    )


def _failure(error: ReplicationError) -> str:
    return json.dumps({"error": type(error).__name__, "what": error.what, "where": error.where})
