"""The program in a fork of a process that has imported it: a second less for every command.

What starts the interpreter anew is tested where that matters: in a terminal, on signals, and by
`Project.start`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from replication_assets_tests.fresh import FRESH, take_over

SECONDS = 120.0


class Ended(NamedTuple):
    code: int
    out: bytes
    err: bytes


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Ended:
    """As `python -m replication_assets ARGUMENTS` in a folder, nothing to read and files to write to."""
    with tempfile.TemporaryDirectory(prefix="warm-") as place:
        process = FRESH.Process(target=_program, args=(arguments, folder, dict(environment), place))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{arguments} took longer than {SECONDS:g} s")
        return Ended(process.exitcode, *((Path(place) / name).read_bytes() for name in ("out", "err")))


def _program(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], place: str) -> None:
    take_over(environment, f"{place}/out", f"{place}/err")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # as long as the process
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = ["replication-assets", *arguments]
    from replication_assets.cli import main

    main()
