"""PostgreSQL's own load generator: the write load that others measure with too.

Owns the command line and the reading of its report. A run that fails or aborts clients is an
error, never a low figure.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from replication_assets.errors import SourceError

_TRANSACTIONS = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PgbenchRun:
    """What pgbench reports: committed transactions, their rate per second, mean latency."""

    transactions: int
    tps: float
    latency_ms: float
    report: str


def initialise(binaries: Path, dsn: str, *, scale: int = 10) -> None:
    """Create and fill pgbench's tables: 100,000 accounts for each unit of scale."""
    _pgbench(binaries, dsn, "--initialize", "--quiet", f"--scale={scale}")


def run(
    binaries: Path,
    dsn: str,
    *,
    clients: int = 4,
    seconds: int | None = None,
    transactions: int | None = None,
    rate: float | None = None,
) -> PgbenchRun:
    """Run the standard script for `seconds`, or for `transactions` per client; `rate` throttles
    all clients together to that many transactions a second."""
    if (seconds is None) == (transactions is None):
        raise ValueError("pgbench runs either for a time or for a number of transactions")
    bound = f"--time={seconds}" if seconds is not None else f"--transactions={transactions}"
    throttle = [] if rate is None else [f"--rate={rate}"]
    # The tables are vacuumed by the server itself, not in front of a short run.
    report = _pgbench(
        binaries, dsn, "--no-vacuum", f"--client={clients}", f"--jobs={min(clients, 2)}", bound, *throttle
    )
    return parse(report)


def parse(report: str) -> PgbenchRun:
    found = [pattern.search(report) for pattern in (_TRANSACTIONS, _TPS, _LATENCY)]
    processed, tps, latency = (match.group(1) if match else None for match in found)
    if processed is None or tps is None or latency is None:
        raise SourceError("pgbench's report has no figures of the kind known here", where="pgbench")
    return PgbenchRun(int(processed), float(tps), float(latency), report)


def _pgbench(binaries: Path, dsn: str, *options: str) -> str:
    done = subprocess.run([str(binaries / "pgbench"), *options, dsn], capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line or "hint" in line]
        raise SourceError(f"it ended with code {done.returncode}: {' '.join(errors)}", where="pgbench")
    return done.stdout
