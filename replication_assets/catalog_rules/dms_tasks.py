"""What can be wrong with declared replication tasks of DMS, each with its fix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from replication_assets.catalog_rules.cron import cron_problems, timezone_problems
from replication_assets.catalog_rules.environments import form
from replication_assets.declarations.dms_tasks import DmsTask
from replication_assets.declarations.refreshes import Schedule

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ARN = re.compile(r"arn:aws[a-z-]*:dms:[a-z0-9-]+:\d{12}:task:[A-Za-z0-9-]+")


def dms_task_problems(
    tasks: Sequence[DmsTask], sources: Collection[str], refreshes: Collection[str]
) -> Iterator[str]:
    """All that is wrong with the tasks of a catalog."""
    sound = []
    for task in tasks:
        name: object = task.name
        where = f"DMS task {name if isinstance(name, str) else '(unnamed)'}"
        found = list(form(task)) or list(_rules(task, sources, refreshes))
        yield from (f"{where}: {problem}" for problem in found)
        if not found:
            sound.append(task)
    for field in ("name", "arn"):
        for value, count in Counter(getattr(task, field) for task in sound).items():
            if count > 1:
                yield f"DMS tasks: {count} have {field} {value!r}. Fix: one each"


def _rules(task: DmsTask, sources: Collection[str], refreshes: Collection[str]) -> Iterator[str]:
    if not _NAME.fullmatch(task.name):
        yield "its name is not up to 40 lower-case letters, digits and _, a letter first. Fix: such a name"
    if not _ARN.fullmatch(task.arn):
        yield "arn is none of a replication task. Fix: arn:aws:dms:region:account:task:..."
    for field, known in (("feeds", sources), ("refreshes", refreshes)):
        unknown = [name for name in getattr(task, field) if name not in known]
        if unknown:
            yield f"{field} names {', '.join(unknown)}, not declared. Fix: declare it, or leave it out"
    if isinstance(task.start, Schedule):
        yield from cron_problems(task.start.cron)
        yield from timezone_problems(task.start.timezone)
    if not 1 <= task.look_seconds <= 3600:
        yield "look_seconds is not between 1 and 3600. Fix: 30 is a start"
    if (task.access_key_id is None) != (task.secret_access_key is None):
        yield "only one of access_key_id and secret_access_key is given. Fix: both by reference, or none"
