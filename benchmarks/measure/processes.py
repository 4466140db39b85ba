"""What processes used of the machine, as Linux tells it in `/proc`."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(root: int) -> float:
    """Processor time of a process, its living descendants, and all that it waited for.

    A child that nobody waited for yet, or whose parent ended before it did, is not in it.
    """
    parents, used = _processes()
    return sum(used.get(pid, 0.0) for pid in _below(root, parents))


def machine_seconds() -> float:
    """Processor time of everybody since the machine started."""
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, _, _, irq, softirq, *_ = (int(ticks) for ticks in line.split()[1:])
    return (user + nice + system + irq + softirq) / _TICKS


def tree(root: int) -> list[int]:
    """A process and its living descendants."""
    parents, used = _processes()
    return [pid for pid in _below(root, parents) if pid in used]


def _processes() -> tuple[dict[int, list[int]], dict[int, float]]:
    """Children by their parents, and the processor time of each with what it waited for."""
    parents: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(entry.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        used[pid] = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
    return parents, used


def _below(root: int, parents: dict[int, list[int]]) -> list[int]:
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def peak_mib() -> float:
    """The most memory that this process held (`VmHWM`; `ru_maxrss` may tell of its parent's)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
