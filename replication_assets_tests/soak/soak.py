"""A system, writers, mishaps in an order that the seed decides, and checks in between.

The order of mishaps and of the writers' statements follows from the seed; the moments at which they
meet do not. A check stops the writers, catches up, and holds three things against the source: the
store's events against the audit of every committed change, the fold and the projection against the
rows.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.catalog import ByBounds, ByCount, Catalog, Table
from replication_assets.core.events import OP
from replication_assets.errors import NeedsReload, SlotBusy
from replication_assets_tests.e2e.random_writers import CREATE, KEYS, transaction, value
from replication_assets_tests.e2e.system import System, audit, doubled, system_of
from replication_assets_tests.faults.proxy import Proxy, proxy_to
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database, running_server
from replication_assets_tests.soak.mishaps import MISHAPS, PATIENCE_SECONDS, Scene
from replication_assets_tests.soak.tally import Tally

MISHAPS_BETWEEN_CHECKS = 6
CHECKS_TO_A_LOST_SLOT = 4
WRITERS = 2
SMALL = "CREATE TABLE u (id int PRIMARY KEY, v int)"

Say = Callable[[str], None]


def soak(seconds: float, seed: int, folder: Path, say: Say, mishaps: int = MISHAPS_BETWEEN_CHECKS) -> Tally:
    """Until the first check after `seconds`, or the first one that fails; `mishaps` between two.

    Raises:
        AssertionError: a step ended in a way that no mishap explains.
    """
    tally, random, started = Tally(seed), Random(seed), time.monotonic()
    with (
        running_server() as server,
        fresh_database(server) as database,
        proxy_to("127.0.0.1", server.port) as proxy,
    ):
        system = _system(database, folder, proxy, random)
        scene = Scene(_through(system, proxy), server, proxy, random, tally, folder)
        while tally.passed and tally.seconds < seconds:
            with writing(system, random.randrange(2**32), tally):
                for mishap in random.choices(MISHAPS, k=mishaps):
                    mishap(scene)
            if tally.checks % CHECKS_TO_A_LOST_SLOT == CHECKS_TO_A_LOST_SLOT - 1:
                lose_slot(scene)
            check(scene)
            tally.seconds = time.monotonic() - started
            say(tally.line())
    return tally


def lose_slot(scene: Scene) -> None:
    """The one fault that a next run cannot mend: what the source forgot is in no event. Recovered and
    loaded again, the rows are right; the changes of the gap are taken out of the audit."""
    system = scene.system
    _capture(system)
    slot = system.catalog.sources[0].slot_name
    with system.sql() as session:
        session.execute("SELECT pg_drop_replication_slot(%s)", [slot])
        found = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        assert found is not None
        session.execute("UPDATE t SET v = v + 1 WHERE id < 100")
        session.execute("DELETE FROM t WHERE id BETWEEN 100 AND 120")
    system.recover()
    system.load_all()
    with system.sql() as session:
        session.execute("DELETE FROM audit WHERE xid > %s", found)
    scene.tally.faults["slot lost, recovered and loaded"] += 1


def check(scene: Scene) -> None:
    """Catch up by ordinary runs alone, and count what is not as it must be."""
    system, tally = scene.system, scene.tally
    _capture(system)
    _project(scene)
    tally.checks += 1
    tally.events = tally.lost = tally.doubled = tally.wrong = 0
    for table in system.tables():
        events = system.events(table.id)
        tally.events += events.num_rows
        tally.doubled += doubled(events, table.schema)
        source = system.in_source(table.id, table.schema)
        for found in (system.in_store(table.id), system.in_projection(table.id)):
            tally.wrong += (source - found).total() + (found - source).total()
    made, stored = _audited(system), _stored(system)
    tally.lost += (made - stored).total()
    tally.doubled += (stored - made).total()


def _capture(system: System) -> None:
    """The server may take a while to see that the capture before was killed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            system.capture()
            return
        except SlotBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _project(scene: Scene) -> None:
    """A column that came with a default is in rows that the stream tells nothing of: there, and
    nowhere else, the load that the refusal asks for is part of the ordinary."""
    try:
        scene.system.project()
    except NeedsReload:
        if not scene.tally.faults["column added"]:
            raise
        scene.system.load_all()
        scene.system.project()


@contextmanager
def writing(system: System, seed: int, tally: Tally) -> Iterator[None]:
    """Writers that connect again after a crash of the server. What else one dies of is raised."""
    stop, failures = threading.Event(), list[Exception]()

    def work(number: int) -> None:
        random = Random(seed + number)
        while not stop.is_set():
            try:
                with system.sql(autocommit=False) as session:
                    while not stop.wait(0.01):
                        transaction(session, random)
                        tally.transactions += 1
            except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
                continue
            except psycopg.OperationalError:
                stop.wait(0.2)
            except Exception as failure:  # noqa: BLE001  # raised below
                failures.append(failure)
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WRITERS)]
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


def _system(database: FreshDatabase, folder: Path, proxy: Proxy, random: Random) -> System:
    tables = [
        Table("app.public.t", id_ranges=ByBounds((-50, 0, 100, 250))),
        Table("app.public.u", id_ranges=ByCount(2)),
    ]
    system = system_of(database, folder, tables)
    system.execute(CREATE, SMALL, "INSERT INTO u SELECT i, 0 FROM generate_series(1, 300) i")
    with system.sql() as session, session.cursor() as cursor:
        rows = [(i, 0, value(random), "first") for i in range(-KEYS // 2, KEYS, 2)]
        cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s)", rows)
    system.prepare()
    audit(system, "t")
    system.load_all()
    return system


def _through(system: System, proxy: Proxy) -> System:
    """The same system, with the proxy between it and its source; writers and oracles go past it."""
    (source,) = system.catalog.sources
    catalog: Catalog = dataclasses.replace(
        system.catalog, sources=(dataclasses.replace(source, port=proxy.port),)
    )
    return dataclasses.replace(system, catalog=catalog)


def _audited(system: System) -> Counter[tuple[object, ...]]:
    with system.sql() as session:
        return Counter(session.execute("SELECT xid, op, id, v FROM audit").fetchall())


def _stored(system: System) -> Counter[tuple[object, ...]]:
    events = system.events(system.table("t").id)
    changes = events.filter(pc.is_in(events[OP], pa.array(["I", "U", "D"])))
    columns = (changes[name].to_pylist() for name in ("_transaction_id", OP, "id", "v"))
    return Counter((xid, op, key, None if op == "D" else v) for xid, op, key, v in zip(*columns, strict=True))
