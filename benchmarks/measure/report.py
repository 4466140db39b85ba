"""What a benchmark found, as data: kept as JSON beside the document that is made of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.measure.runs import Run

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that was promised. `met` is None where the run is too short to say."""

    what: str
    wanted: str
    reached: str
    met: bool | None

    @classmethod
    def at_least(cls, what: str, wanted: float, reached: float, *, short: bool = False) -> Target:
        """A ratio, greater is better."""
        met = None if short else reached >= wanted
        return cls(what, f"at least {wanted:.2f}", f"{reached:.2f}", met)

    @classmethod
    def at_most(
        cls, what: str, wanted: float, reached: float, unit: str = "", *, short: bool = False
    ) -> Target:
        met = None if short else reached <= wanted
        return cls(what, f"at most {wanted:g}{unit}", f"{reached:.3g}{unit}", met)


@dataclass(frozen=True, slots=True)
class Plot:
    """Series of points, or one bar for each label of `series` where it holds single points."""

    name: str
    title: str
    x: str
    y: str
    series: dict[str, Points]
    kind: Literal["lines", "bars"] = "lines"
    log: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    headers: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark. `about` says what was run; `notes` where the time goes, and what a missed
    target would need. Both are Markdown."""

    name: str
    title: str
    about: str
    made_with: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()
    plots: tuple[Plot, ...] = ()
    notes: str = ""
    machine: str = ""
    commit: str = ""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Report:
        found = json.loads(path.read_text(encoding="utf-8"))
        tables = tuple(
            Table(each["title"], tuple(each["headers"]), tuple(tuple(line) for line in each["lines"]))
            for each in found.pop("tables")
        )
        targets = tuple(Target(**each) for each in found.pop("targets"))
        plots = tuple(
            Plot(**{**each, "series": {k: tuple((x, y) for x, y in v) for k, v in each["series"].items()}})
            for each in found.pop("plots")
        )
        return cls(**found, tables=tables, targets=targets, plots=plots)


HEADERS = ("path", "rows/s", "of the limit", "client µs/row", "server µs/row", "peak MiB")


def throughput(title: str, runs: dict[str, Run], limit: str) -> Table:
    """The usual table of runs; `limit` names the one that the others are held against."""
    best = runs[limit].rate
    lines = [
        (
            f"**{name}**" if name == limit else name,
            f"{each.rate:,.0f}",
            f"{each.rate / best:.2f}",
            f"{each.client_micros():.2f}",
            f"{each.server_micros():.2f}",
            f"{each.peak_mib:.0f}",
        )
        for name, each in runs.items()
    ]
    return Table(title, HEADERS, tuple(lines))
