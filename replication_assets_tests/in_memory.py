"""Where the tests keep their files: in memory where there is room, or else where others keep theirs.

Every test makes a database or an event store, thousands of small files that are gone a second later:
on a disk, making and deleting them costs more than what they are for. No test needs its files to
survive the machine; what a full disk does is tested on a file system of that test's own.

A run has a folder of its own, named after its process. It goes with a run in which nothing failed; what
a failed one left stays to be looked at until the next run, which deletes what dead processes left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
PREFIX = f"replication-assets-tests-{os.getuid()}-"
NEEDED_BYTES = 6 * 1024**3
"""Several times what a run of everything holds at once."""


def use(memory: Path = MEMORY) -> Path | None:
    """Make a folder in memory the temporary one of this process and its children; None: no room.

    Whoever says where files are to go, by `TMPDIR`, is obeyed.
    """
    if "TMPDIR" in os.environ or not memory.is_dir():
        return None
    _sweep(memory)
    if shutil.disk_usage(memory).free < NEEDED_BYTES or _available_bytes() < 2 * NEEDED_BYTES:
        return None
    folder = memory / f"{PREFIX}{os.getpid()}"
    folder.mkdir()
    # Servers run under an account of their own where the tests are root's.
    folder.chmod(0o711)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    return folder


def _sweep(memory: Path) -> None:
    for left in memory.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX)
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def _available_bytes() -> int:
    """What processes can still have, files in memory given up: MemAvailable, in KiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0
