"""What the demonstration says while it works: steps with their times.

On a terminal the step in hand is shown by a spinner and becomes one line when it is done;
elsewhere (a pipe, a build log) each line is written once, as plain text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class Step:
    """The step in hand: `show` what happens in it, `done` what came of it."""

    def __init__(self, title: str, status: Status | None) -> None:
        self._title = title
        self._status = status
        self.result = title

    def show(self, text: str) -> None:
        if self._status is not None:
            self._status.update(f"{self._title} [dim]{text}[/dim]")

    def done(self, result: str) -> None:
        self.result = result


class Progress:
    """Steps on a console, one after another."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        began = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(title) as status:
                step = Step(title, status)
                yield step
        else:
            step = Step(title, None)
            yield step
        self.say(f"[green]✓[/green] {step.result} [dim]({time.monotonic() - began:.1f} s)[/dim]")

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)
