"""What is printed where: results on standard output, everything else on standard error.

On a terminal: colours, tables fitted to the width, a bar for work that takes long. Elsewhere (a
pipe, a build log, a file): plain lines, one for each finished thing, nothing that moves. rich
honours NO_COLOR, and falls back to plain text on a dumb terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table as Grid
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Heading:
    """A column of a printed table; figures are aligned to the right."""

    name: str
    figures: bool = False


class _PlainSpoken(Console):
    """A console that leaves to the program what happens when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def results() -> Console:
    return _PlainSpoken(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def messages() -> Console:
    return _PlainSpoken(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)


def is_live(console: Console) -> bool:
    """Whether things may move on it."""
    return console.is_terminal and not console.is_dumb_terminal


def say(text: str, style: str | None = None) -> None:
    """A message: progress, a summary, a hint."""
    messages().print(Text(text, style or ""))


def show(text: str, style: str | None = None) -> None:
    """A line of the result."""
    results().print(Text(text, style or ""))


def show_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def show_table(headings: Sequence[Heading], rows: Sequence[Sequence[str]], *, names: int = 0) -> None:
    """Elsewhere than on a terminal as wide as it is, so that tools can cut it.

    On a terminal that is too narrow, a paragraph for each row, titled by its first `names` cells:
    a name or a position that is broken in the middle can be neither read nor copied. Without
    `names`, cells are folded.
    """
    console = results()
    if is_live(console):
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in headings:
            grid.add_column(
                Text(heading.name), justify="right" if heading.figures else "left", overflow="fold"
            )
        for row in rows:
            grid.add_row(*(Text(cell) for cell in row))
        if (
            names
            and Measurement.get(console, console.options.update_width(10_000), grid).maximum > console.width
        ):
            for row in rows:
                _show_paragraph(console, headings, row, names)
            return
        console.print(grid, soft_wrap=False)
        return
    for line in aligned(headings, rows):
        sys.stdout.write(line + "\n")


def _show_paragraph(console: Console, headings: Sequence[Heading], row: Sequence[str], names: int) -> None:
    """Lines are broken between cells alone; one that is longer than a line folds."""
    console.print(Text(" ".join(row[:names]), "bold"), soft_wrap=False, overflow="fold")
    line = Text("  ")
    for heading, cell in zip(headings[names:], row[names:], strict=True):
        if not cell:
            continue
        pair = Text.assemble((f"{heading.name}: ", "dim"), _one_line(cell))
        if len(line) > 2 and len(line) + 2 + len(pair) > console.width:
            console.print(line, soft_wrap=False, overflow="fold")
            line = Text("  ")
        line = line.append("  " if len(line) > 2 else "").append_text(pair)
    if len(line) > 2:
        console.print(line, soft_wrap=False, overflow="fold")


def aligned(headings: Sequence[Heading], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a plain table; cells stay in one line each."""
    lines = [[heading.name for heading in headings], *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if heading.figures else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _one_line(cell: str) -> str:
    return cell.replace("\r", "\\r").replace("\n", "\\n")


class Work:
    """Progress of one command. Safe to be told things by several threads."""

    def __init__(self, console: Console, bars: Progress | None) -> None:
        self._console = console
        self._bars = bars
        self._task: TaskID | None = None
        self._rows: dict[str, int] = {}
        self._started = time.monotonic()
        self._lock = Lock()

    @property
    def seconds(self) -> float:
        """Since the start; never 0, so that rates can be told."""
        return max(time.monotonic() - self._started, 0.001)

    def begin(self, title: str, total: int | None, unit: str = "") -> None:
        """`total` things are to be done; None: nobody knows."""
        if self._bars is not None:
            self._task = self._bars.add_task(title, total=total, unit=unit, figures="")

    def rows(self, what: str, rows: int) -> None:
        """So many rows of one thing are through; shown as a sum and a rate."""
        with self._lock:
            self._rows[what] = rows
            total = sum(self._rows.values())
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, figures=f"{total:,} rows, {total / self.seconds:,.0f} rows/s")

    def note(self, figures: str) -> None:
        """What goes on right now; for a terminal alone."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, figures=figures)

    def tell(self, line: str, style: str | None = None) -> None:
        """A line that stays."""
        with self._lock:
            self._console.print(Text(line, style or ""))

    def done(self, line: str, style: str | None = None) -> None:
        """One thing is finished: a line that stays."""
        self.tell(line, style)
        self.advance()

    def advance(self) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task)


class _Counted(ProgressColumn):
    """How many things are done, and of how many where that is known."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text(f"{task.fields['unit']}: {task.completed:.0f}")
        return Text(f"{task.completed:.0f}/{task.total:.0f} {task.fields['unit']}")


@contextmanager
def working() -> Iterator[Work]:
    """Bars on a terminal, lines elsewhere. Whatever ends the block, the cursor is back."""
    console = messages()
    if not is_live(console):
        yield Work(console, None)
        return
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        _Counted(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bars:
        yield Work(bars.console, bars)


# --- figures as people read them -----------------------------------------------------------


def count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def things(number: int, noun: str) -> str:
    """`1 table`, `2 tables`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def are(number: int) -> str:
    return "is" if number == 1 else "are"


def size(number: int | None) -> str:
    """Bytes, in the unit that gives one to three digits before the point."""
    if number is None:
        return ""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(amount) < 1024 or unit == "TiB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError


def seconds(number: float | None) -> str:
    if number is None:
        return ""
    if number < 120:
        return f"{number:.1f} s"
    return f"{number / 60:.0f} min" if number < 7200 else f"{number / 3600:.1f} h"
