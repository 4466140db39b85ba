"""Writers that do everything an application may do to a table, from a seed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import psycopg

from replication_assets_tests.e2e.system import System

CREATE = "CREATE TABLE t (id bigint PRIMARY KEY, v int NOT NULL, big text, note text)"
KEYS = 400
"""Few enough that writers meet, and that keys are deleted and come back."""


def value(random: Random) -> str | None:
    """Nothing, something short, or something that the server stores out of line."""
    kind = random.randrange(4)
    if kind == 0:
        return None
    if kind == 1:
        return f"{random.randrange(10**6)}"
    # Digits of a random number do not compress below the threshold.
    return f"{random.getrandbits(4 * 9_000):x}"


def key(random: Random) -> int:
    return random.randrange(-KEYS // 2, KEYS)


def write(session: psycopg.Connection[Any], random: Random) -> None:
    """One statement. A key that is taken, or not there, makes it a statement without effect."""
    kind = random.randrange(20)
    if kind < 5:
        session.execute(
            "INSERT INTO t VALUES (%s, %s, %s, 'new') ON CONFLICT DO NOTHING",
            (key(random), random.randrange(1000), value(random)),
        )
    elif kind < 12:
        session.execute("UPDATE t SET v = v + 1 WHERE id = %s", (key(random),))
    elif kind < 14:
        session.execute("UPDATE t SET big = %s, note = 'big' WHERE id = %s", (value(random), key(random)))
    elif kind < 16:
        session.execute(
            "UPDATE t SET id = %(new)s, note = 'moved' WHERE id = %(old)s"
            " AND NOT EXISTS (SELECT FROM t WHERE id = %(new)s)",
            {"old": key(random), "new": key(random)},
        )
    elif kind < 17:
        low = key(random)
        session.execute("UPDATE t SET v = v + 1 WHERE id BETWEEN %s AND %s", (low, low + 30))
    else:
        session.execute("DELETE FROM t WHERE id = %s", (key(random),))


def transaction(session: psycopg.Connection[Any], random: Random) -> None:
    """Some statements; a part of them, or all, may be rolled back."""
    with session.transaction() as whole:
        for _ in range(random.randrange(1, 6)):
            if random.randrange(4) == 0:
                with session.transaction() as part:
                    write(session, random)
                    if random.randrange(2):
                        raise psycopg.Rollback(part)
            else:
                write(session, random)
        if random.randrange(8) == 0:
            raise psycopg.Rollback(whole)


@contextmanager
def writing(system: System, seed: int, writers: int = 3, pause: float = 0.008) -> Iterator[None]:
    """Writers at work while the block runs. What one dies of is raised at its end."""
    stop, failures = threading.Event(), list[Exception]()

    def work(number: int) -> None:
        random = Random(seed * 100 + number)
        try:
            with system.sql(autocommit=False) as session:
                while not stop.wait(pause):
                    try:
                        transaction(session, random)
                    except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                        session.rollback()
        except Exception as failure:  # noqa: BLE001  # raised below
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
