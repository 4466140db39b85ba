"""`python -m replication_assets_tests.soak --seconds 600 --seed 7`."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from replication_assets_tests.soak.soak import soak


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m replication_assets_tests.soak", description=__doc__)
    options.add_argument("--seconds", type=float, default=600, help="how long, at least (600)")
    options.add_argument("--seed", type=int, help="of the order of things (another one each time)")
    chosen = options.parse_args()
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(10**6)
    sys.stdout.write(f"seed {seed}\n")
    with tempfile.TemporaryDirectory(prefix="replication-assets-soak-") as folder:
        try:
            tally = soak(chosen.seconds, seed, Path(folder), _say)
        except KeyboardInterrupt:
            sys.stdout.write("Stopped.\n")
            return 130
    sys.stdout.write(f"\n{tally.report()}\n")
    return 0 if tally.passed else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
