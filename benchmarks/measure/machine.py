"""What a figure was measured on, in one line: it means nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def machine() -> str:
    """Processor, cores, memory, system and Python."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo", "model name")), "")
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo", "MemTotal")), 0)
    system = next(
        (line.partition("=")[2].strip('"') for line in _lines("/etc/os-release", "PRETTY_NAME")), ""
    )
    return (
        f"{model or platform.machine()}, {os.cpu_count()} cores, {kib / 2**20:.0f} GiB,"
        f" {system or platform.system()}, Python {platform.python_version()}"
    )


def versions(*packages: str) -> str:
    """`pyarrow 26.0.0, duckdb 2.0.0`."""
    return ", ".join(f"{package} {version(package)}" for package in packages)


def commit() -> str:
    """The commit that is measured, and whether files of the program differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "no commit"
    changed = _git("status", "--porcelain", "--", "replication_assets")
    return f"{head} and changes" if changed else head


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _lines(path: str, starting: str) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith(starting)]
