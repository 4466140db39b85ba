"""`python -m replication_assets_tests.breaks [words]`: every edit, or those with these words."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from replication_assets_tests.breaks.edits import EDITS, Edit

REPOSITORY = Path(__file__).parents[2]
LONGEST_SECONDS = 600
FAILED, NOTHING_RAN = 1, 5


def noticed(edit: Edit, copy: Path) -> bool:
    """Make the edit in a copy of the repository, run its test, and take the edit back.

    Raises:
        RuntimeError: the test could not be run.
    """
    program = copy / "replication_assets" / edit.file
    before = program.read_text(encoding="utf-8")
    program.write_text(before.replace(edit.old, edit.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header"]
    command += ["--full"] if edit.full else []
    command += ["-k", edit.chosen] if edit.chosen else []
    command.append(str(copy / "replication_assets_tests" / edit.test))
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    finally:
        program.write_text(before, encoding="utf-8")
    if done.returncode not in (0, FAILED):
        raise RuntimeError(f"{edit.name}: {edit.test} could not be run\n{done.stdout[-2_000:]}")
    return done.returncode == FAILED


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m replication_assets_tests.breaks", description=__doc__)
    options.add_argument("words", nargs="*", help="of the names of edits (all)")
    chosen = options.parse_args()
    edits = [edit for edit in EDITS if all(word in edit.name for word in chosen.words)]
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="replication-assets-breaks-") as home:
        copy = Path(home) / "repository"
        left_out = shutil.ignore_patterns(".git", "__pycache__", ".cache", ".demo", ".mypy_cache")
        shutil.copytree(
            REPOSITORY,
            copy,
            symlinks=True,
            ignore=lambda at, names: {*left_out(at, names), *({".venv"} if Path(at) == REPOSITORY else ())},
        )
        (copy / ".venv").symlink_to(REPOSITORY / ".venv")
        for edit in edits:
            seen = noticed(edit, copy)
            sys.stdout.write(f"{'noticed ' if seen else 'UNNOTICED'}  {edit.name}  ({edit.test})\n")
            sys.stdout.flush()
            unnoticed += [] if seen else [edit.name]
    sys.stdout.write(f"{len(edits) - len(unnoticed)} of {len(edits)} edits were noticed\n")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
