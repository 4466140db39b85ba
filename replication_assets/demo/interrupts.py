"""When Ctrl-C and SIGTERM may take effect: not while a process starts, not while things stop.

Python raises KeyboardInterrupt wherever it happens to be. In the callbacks that run around a
fork (`os.register_at_fork`) the exception is printed and dropped, and the interrupt with it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """An interrupt within the block takes effect at its end. Main thread only."""
    came: list[tuple[int, FrameType | None]] = []
    before = {number: signal.signal(number, lambda *which: came.append(which)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first, frame in came[:1]:
            handler = before[signal.Signals(first)]
            if callable(handler):
                handler(first, frame)


def undisturbed(stop: Callable[[], None]) -> None:
    """Stopping must come to its end: interrupts are ignored meanwhile. Main thread only."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTS}
    try:
        stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
