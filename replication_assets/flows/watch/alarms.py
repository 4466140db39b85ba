"""Which notifications follow from what is wrong now, and from what was wrong before.

A condition is told once when it starts, again every `repeat_seconds` while it lasts, and once when
it has been absent for `settle_seconds`. One that comes and goes in between stays one condition,
so that nothing that flaps floods anybody. A condition that gets worse (a slot in danger that is
lost) is told at once. While a part cannot be read, what was known of it stands.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from replication_assets.declarations import Watch
from replication_assets.ports.watch import Kind, Notification, Phase

LONGEST_TEXT = 600
"""Characters of a message's `what` and `fix`: fifty messages fit into what any channel takes."""

Key = tuple[str, str]
"""Kind and subject."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now. A greater `grade` is worse. `on` is the watched part that it
    shows on (`sources/shop`, `projections/lake`, `disk`); empty for runs."""

    kind: Kind
    subject: str
    what: str
    fix: str
    on: str = ""
    grade: int = 1
    since: dt.datetime | None = None

    @property
    def key(self) -> Key:
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Alarm:
    """A condition that was told. `absent_since` is set while it is not there, but not settled."""

    kind: Kind
    subject: str
    what: str
    grade: int
    since: dt.datetime
    told_at: dt.datetime
    absent_since: dt.datetime | None = None


Alarms = Mapping[Key, Alarm]


def follow(
    alarms: Alarms,
    conditions: Sequence[Condition],
    unknown: Collection[Key],
    watch: Watch,
    now: dt.datetime,
) -> tuple[dict[Key, Alarm], list[Notification]]:
    """The alarms that stand now, and what is to be told."""
    standing: dict[Key, Alarm] = {}
    told: list[Notification] = []
    for condition in conditions:
        alarm, phase = _stands(alarms.get(condition.key), condition, watch, now)
        standing[condition.key] = alarm
        if phase is not None:
            told.append(_notification(alarm, phase, condition.fix, now))
    for key, alarm in alarms.items():
        if key not in standing:
            kept = alarm if key in unknown else _absent(alarm, watch, now)
            if kept is None:
                told.append(_notification(alarm, "resolved", "", now))
            else:
                standing[key] = kept
    return standing, told


def once(kind: Kind, subject: str, what: str, fix: str, mark: str, now: dt.datetime) -> Notification:
    """Of something that happens and has no end; `mark` tells it apart from the next one."""
    identity = _identity(kind, subject, "noted", mark)
    return Notification(identity, kind, "noted", subject, _short(what), _short(fix), now, now)


def _stands(
    before: Alarm | None, condition: Condition, watch: Watch, now: dt.datetime
) -> tuple[Alarm, Phase | None]:
    what = _short(condition.what)
    if before is None:
        since = condition.since or now
        return Alarm(condition.kind, condition.subject, what, condition.grade, since, now), "started"
    alarm = replace(before, what=what, absent_since=None, grade=max(before.grade, condition.grade))
    if condition.grade > before.grade:
        return replace(alarm, told_at=now), "started"
    if (now - before.told_at).total_seconds() >= watch.repeat_seconds:
        return replace(alarm, told_at=now, grade=condition.grade), "repeated"
    return alarm, None


def _absent(alarm: Alarm, watch: Watch, now: dt.datetime) -> Alarm | None:
    absent = replace(alarm, absent_since=alarm.absent_since or now)
    assert absent.absent_since is not None
    return None if (now - absent.absent_since).total_seconds() >= watch.settle_seconds else absent


def _notification(alarm: Alarm, phase: Phase, fix: str, now: dt.datetime) -> Notification:
    what = f"over: {alarm.what}" if phase == "resolved" else alarm.what
    identity = _identity(alarm.kind, alarm.subject, phase, f"{alarm.since}/{alarm.told_at}/{alarm.grade}")
    return Notification(identity, alarm.kind, phase, alarm.subject, what, _short(fix), alarm.since, now)


def _identity(kind: Kind, subject: str, phase: Phase, mark: str) -> str:
    return hashlib.blake2b(f"{kind}|{subject}|{phase}|{mark}".encode(), digest_size=10).hexdigest()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_TEXT else f"{flat[: LONGEST_TEXT - 4]} ..."
