"""The demonstration as a user runs it: a program of its own, in a folder of its own."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from replication_assets.demo.child_processes import free_port

# The whole job in processes of its own: minutes where other tests share the cores.
pytestmark = pytest.mark.timeout(600)

HOST = "127.0.0.1"
SMALL = ["--events", "2000", "--rate", "30"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Open to the account that a server of root runs under, which pytest's own are not."""
    home = Path(tempfile.mkdtemp(prefix="replication-assets-demo-"))
    home.chmod(0o755)
    yield home / "demo"
    shutil.rmtree(home)


def command(name: str, folder: Path, *options: str, port: int | None = None) -> list[str]:
    place = ["--folder", str(folder), "--port", str(port or free_port(HOST))]
    return [sys.executable, "-m", "replication_assets.demo", name, *place, *options]


def finished(
    name: str, folder: Path, *options: str, port: int | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, folder, *options, port=port), capture_output=True, text=True, timeout=500
    )


class Started:
    """A demonstration in the background, and what it said so far."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.folder = folder
        self.output = folder.with_name("output")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(arguments, stdout=output, stderr=output, start_new_session=True)

    def until(self, said: str) -> None:
        deadline = time.monotonic() + 120
        while said not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def ended_by(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(110)


def still_running(folder: Path) -> list[str]:
    """Processes that know the folder, by their arguments or their environment; zombies are dead."""
    found = []
    for process in psutil.process_iter():
        try:
            texts = [*process.cmdline(), *process.environ().values()]
            if any(str(folder) in text for text in texts) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def eventually_none(folder: Path) -> list[str]:
    deadline = time.monotonic() + 30
    while (running := still_running(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return running


@pytest.mark.parametrize("killed_before", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_run_accounts_for_every_row_also_after_one_that_was_killed(
    folder: Path, killed_before: bool
) -> None:
    if killed_before:
        killed = Started(folder, command("run", folder, *SMALL))
        killed.until("Start the capture")
        killed.ended_by(signal.SIGKILL)
        assert eventually_none(folder) == []
    done = finished("run", folder, *SMALL, "--seconds", "1", "--backlog", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 mismatches between source, event store, lakehouse and DynamoDB" in done.stdout
    assert "Dead letters: 1 kept (datasheet: malformed-xml" in done.stdout
    assert "0 after the row was mended and reprocessed" in done.stdout
    row = r"^ *public\.(\w+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+|-) +0 "
    rows = re.findall(row, done.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["widgets", "customers", "orders", "order_events"]
    for name, source, stored, lake, items in rows:
        assert source == lake
        assert items == (source if name in ("widgets", "customers") else "-")
        assert int(stored.replace(",", "")) > int(source.replace(",", ""))
    assert still_running(folder) == []
    _the_commands_shown_work(done.stdout)


def _the_commands_shown_work(output: str) -> None:
    commands = re.findall(r"^  (\S+ -c .*)$", output, re.MULTILINE)
    shown = [subprocess.run(text, shell=True, capture_output=True, text=True) for text in commands]
    assert [look.returncode for look in shown] == [0, 0], [look.stderr for look in shown]
    assert "newest" in shown[0].stdout
    assert "status" in shown[1].stdout


@pytest.mark.full
def test_ctrl_c_stops_all_that_a_run_started(folder: Path) -> None:
    run = Started(folder, command("run", folder, *SMALL))
    run.until("Start the capture")
    ended = run.ended_by(signal.SIGINT)
    said = run.output.read_text().rstrip()
    # Library code that an interrupt falls into may drop it: then the run goes on to its end.
    assert ended == 130 or "0 mismatches" in said
    assert ended == 0 or said.endswith("Stopped. Everything that was started has ended.")
    assert eventually_none(folder) == []


@pytest.mark.full
def test_dev_serves_the_ui_with_its_capture_running_and_ends_in_order(folder: Path) -> None:
    port = free_port(HOST)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        ui = taken.getsockname()[1]
        dev = Started(folder, command("dev", folder, *SMALL, "--ui-port", str(ui), port=port))
        dev.until("rows in the lake")
    assert f"http://{HOST}:{ui}\n" not in dev.output.read_text(), "the UI's port was taken"
    busy = finished("run", folder, port=port)
    assert busy.returncode == 1
    assert f"another demonstration runs in this folder (pid {dev.process.pid})" in busy.stderr
    dev.until("lag")
    assert dev.ended_by(signal.SIGTERM) == 0
    assert "Traceback" not in dev.output.read_text()
    assert still_running(folder) == []


def test_a_folder_with_something_else_in_it_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years of work")
    refused = finished("run", folder)
    assert refused.returncode == 1
    assert "Fix: choose another one: --folder PATH" in refused.stderr
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_taken_port_is_said_with_its_number(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = finished("run", folder, port=port)
    assert refused.returncode == 1
    assert f"port {port} is taken by another program" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", ["run", "dev"])
def test_help_has_an_example(name: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "replication_assets.demo", name, "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    assert f"Example: python -m replication_assets.demo {name}" in shown.stdout
