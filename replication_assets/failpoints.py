"""Named places where a test makes a process die, fail or wait, in the middle of the real thing.

Off unless the environment variable `REPLICATION_ASSETS_FAILPOINTS` is set when the process
starts; then every call is one comparison. A place is written `name=action`, several are parted by
`;`, and `name@3=action` acts at the third time only (without a number: at the first).

    kill           the process kills itself with SIGKILL: no finaliser runs, no buffer is written
    fail           OSError: no space left on device
    wait:PATH      touches PATH, then waits until PATH.go exists

Names and what holds at each are listed in `PLACES`; any other is refused at the start, so that a
test cannot arm what nothing reaches.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from pathlib import Path

VARIABLE = "REPLICATION_ASSETS_FAILPOINTS"

PLACES: dict[str, str] = {
    "load.opened": "the snapshot is open, no row was read",
    "load.read": "a batch of rows was handed to the writer",
    "load.finished": "all rows and the event of completion are with the writer, nothing is committed",
    "load.committed": "the load is in the log, its receipt was not returned",
    "capture.read": "a chunk of the change stream was read, nothing of it was written",
    "capture.written": "a chunk was handed to the writers",
    "capture.table_committed": "one table's events and checkpoint are durable, others' are not",
    "capture.tables_committed": "all tables are durable, the ledger is not",
    "capture.recorded": "the ledger is durable, the source was not told",
    "capture.acknowledged": "the source was told",
    "kafka.block_read": "messages of topics were read and decoded, the journal does not know of them",
    "kafka.block_told": "the journal knows where a block ends, nothing of it was written",
    "landed.files_read": "landed files were read and checked, the journal does not know of them",
    "landed.files_told": "the journal knows which files were read, nothing of them was written",
    "store.file_finished": "an event file is whole, no commit speaks of it",
    "store.files_finished": "all event files of a commit are whole, it is about to be made",
    "store.committed": "the commit of a log stands, its reply was not seen",
    "ledger.file_finished": "the file of a mark is whole, no commit speaks of it",
    "ledger.written": "a mark was written, its reply was not seen",
    "compact.written": "a merged file is whole and was compared, no commit speaks of it",
    "compact.committed": "merged files are in the log, former ones were not deleted",
    "project.begun": "the checkpoint of a range was read, nothing was folded or written",
    "delta.written": "data files of a range are whole, no commit speaks of them",
    "delta.committed": "the commit of a range stands, its reply was not seen",
    "dynamodb.parts_put": "parts of split items are written, the items that name them are not",
    "dynamodb.batch_filled": "some items of an empty range are written, its checkpoint is not",
    "dynamodb.batch_put": "some items are written over older ones, parts of those still stand",
    "dynamodb.items_written": "all items of a range are written, its checkpoint is not",
    "dynamodb.checkpointed": "the checkpoint of a range stands, its reply was not seen",
    "sql.replaced": "the rows of a range are written, in a transaction that is open",
    "sql.merged": "changes of a range are written, its checkpoint is not, in a transaction that is open",
    "sql.checkpointed": "rows and checkpoint are written, in a transaction that is open",
    "sql.committed": "rows and checkpoint of a range stand, its reply was not seen",
    "topic.told": "the journal of a topic has a step, none of its messages was sent",
    "topic.sent": "a message of a step is with the producer, which may have sent it",
    "stream.sent": "Kinesis answered a request with messages of a step, some of which it may have refused",
    "topic.acknowledged": "messages of a step stand in the topic, others of it are not made yet",
    "repair.compared": "differences are known, nothing was repaired",
    "repair.written": "differences are repaired in the target, nothing was recorded",
}


def reach(name: str) -> None:
    """Say that a place of `PLACES` was reached."""
    if _armed:
        _act(name)


def arm(text: str) -> None:
    """As if the process had been started with the variable set to `text`, at this moment."""
    global _armed
    _armed = _parse(text)
    _reached.clear()


def _parse(text: str) -> dict[tuple[str, int], str]:
    armed: dict[tuple[str, int], str] = {}
    for part in filter(None, text.split(";")):
        place, _, action = part.partition("=")
        name, _, number = place.partition("@")
        if name not in PLACES or action.partition(":")[0] not in ("kill", "fail", "wait"):
            raise ValueError(f"{VARIABLE}: {part!r} is no failpoint; there are {', '.join(PLACES)}")
        armed[name, int(number or 1)] = action
    return armed


_armed = _parse(os.environ.get(VARIABLE, ""))
_reached: Counter[str] = Counter()


def _act(name: str) -> None:
    _reached[name] += 1
    action = _armed.get((name, _reached[name]))
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "fail":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    elif action is not None:
        met = Path(action.partition(":")[2])
        met.touch()
        while not met.with_name(f"{met.name}.go").exists():
            time.sleep(0.005)
