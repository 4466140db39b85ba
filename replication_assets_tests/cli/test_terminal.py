"""How commands behave towards a terminal, a pipe, Ctrl-C, and people who ask for help."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from replication_assets.cli import sample
from replication_assets.cli.app import make_app
from replication_assets.cli.exits import CODES
from replication_assets.cli.reference import renewed
from replication_assets.demo import __main__ as demonstration
from replication_assets_tests.cli.conftest import Project
from replication_assets_tests.markdown import DOCUMENTS, ROOT

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_a_terminal_gets_a_bar_and_colours_and_its_cursor_back(loaded: Project) -> None:
    seen = loaded.run_in_terminal("load", "--all", "--parallel", "2")
    assert seen.code == 0, seen.text
    assert "rows/s" in seen.text
    assert "\x1b[?25l" in seen.text, "the cursor is hidden while a bar moves"
    assert seen.text.rindex("\x1b[?25h") > seen.text.rindex("\x1b[?25l")
    assert "shop.public.orders r000002: 501 rows" in ESCAPE.sub("", seen.text)


def test_no_color_means_no_colour_on_a_terminal(loaded: Project) -> None:
    seen = loaded.run_in_terminal("status", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", seen.text)
    assert "shop.public.orders" in seen.text


def test_names_and_positions_stay_whole_in_a_narrow_terminal(loaded: Project) -> None:
    loaded.sql("UPDATE orders SET status = 'sent' WHERE id = 1", "UPDATE customers SET name = 'x'")
    loaded.capture()
    seen = loaded.run_in_terminal("status", COLUMNS="80")
    lines = ESCAPE.sub("", seen.text).splitlines()
    assert max(map(len, lines)) <= 80
    assert "shop.public.customers" in [line.strip() for line in lines]
    captured = next(re.findall(r"captured position: (\S+)", line) for line in lines if "captured p" in line)
    asked = ("query", "SELECT count(*) AS n FROM now.orders", "--as-of", *captured)
    assert loaded.run(*asked).lines[1] == "2500"
    lines = ESCAPE.sub("", loaded.run_in_terminal("validate", COLUMNS="80").text).splitlines()
    assert "event store shop.public.customers" in [line.strip() for line in lines]
    assert any("state: equal  ranges right: 2 of 2  rows: 50" in line for line in lines)


def test_a_bar_counts_flushes_without_a_total(loaded: Project) -> None:
    loaded.sql("UPDATE orders SET status = 'sent' WHERE id = 1")
    seen = ESCAPE.sub("", loaded.run_in_terminal("capture", "shop").text)
    assert "None" not in seen
    assert "flushes: 1 " in seen
    assert "1 change of 1 table in" in seen


def test_a_reader_that_goes_away_ends_a_query_in_silence(loaded: Project) -> None:
    command = " ".join(
        f"'{part}'" for part in loaded.command("query", "SELECT * FROM events.orders", "--format", "csv")
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"],
        cwd=loaded.folder,
        env=loaded.environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith('"_op"')
    assert done.stderr == ""


def test_ctrl_c_in_a_load_keeps_what_is_done_and_the_next_one_goes_on(project: Project) -> None:
    project.sql("INSERT INTO orders SELECT g, 'placed', 1 FROM generate_series(2501, 16000) g")
    project.run("setup", "shop")
    seen = project.run_in_terminal("load", "orders", "--parallel", "1", interrupt_when="rows in")
    said = ESCAPE.sub("", seen.text)
    assert seen.code == 130, said
    found = re.search(r"Interrupted\. (\d+) of 17 id ranges are loaded and kept", said)
    assert found, said
    assert "go on with them" in said
    assert "Traceback" not in said
    kept = int(found.group(1))
    counted = project.run("query", "SELECT count(*) AS n FROM events.orders WHERE _op = 'X'")
    assert int(counted.lines[1]) == kept < 17
    assert f"of {17 - kept} id ranges" in project.run("load", "orders").err
    assert project.run("query", "SELECT count(*) AS n FROM now.orders").lines[1] == "16000"


def test_an_error_on_a_terminal_is_one_paragraph_too(project: Project) -> None:
    seen = project.run_in_terminal("load")
    assert seen.code == 1
    assert "Failed. shop: " in seen.text
    assert "Traceback" not in seen.text


def test_help_answers_without_what_commands_need_and_names_the_exit_codes() -> None:
    program = (
        "import sys\n"
        "from replication_assets.cli.app import make_app\n"
        "try:\n    make_app(plain=True)(['--help'])\n"
        "except SystemExit as end:\n    assert end.code in (0, None)\n"
        "heavy = {'dagster', 'pyarrow', 'duckdb', 'psycopg', 'numpy', 'boto3'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()).endswith(CODES)


COMMANDS = [
    "demo",
    "dev",
    "check",
    "setup",
    "load",
    "capture",
    "project",
    "status",
    "query",
    "metrics",
    "compact",
    "recover",
    "teardown",
]


def test_every_command_has_an_example_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    app = make_app(plain=True)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            app([name, "--help"], prog_name="replication-assets")
        assert ended.value.code == 0
        assert f"Example: replication-assets {name}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_a_document_shows_exist_with_their_options(document: Path) -> None:
    root = typer.main.get_command(make_app(plain=True))
    for line in re.findall(r"replication-assets ((?:[a-z-]+)[^`\n#|]*)", document.read_text()):
        command, words = root, [word.rstrip(".,;:") for word in line.split()]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), f"{document.name}: {line}"
        known = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][a-z-]*", word)}
        assert used <= known | {"--help", "--debug"}, f"{document.name}: {line}"


def test_the_document_shows_the_commands_as_they_are() -> None:
    document = (ROOT / "docs" / "command-line.md").read_text()
    due = "python -m replication_assets.cli.reference docs/command-line.md"
    assert renewed(document) == document, f"run: {due}"


def test_an_unknown_command_or_option_is_a_usage_error(project: Project) -> None:
    for arguments in (["lod"], ["load", "--paralel", "2"], ["load", "--parallel", "0"], ["capture"]):
        assert "Usage: replication-assets" in project.run(*arguments, code=2).err


@pytest.mark.parametrize(("ours", "its"), [(sample.demo, demonstration.run), (sample.dev, demonstration.dev)])
def test_the_sample_system_takes_the_same_options_as_its_own_command_line(ours: object, its: object) -> None:
    def parameters(function: object) -> dict[str, object]:
        found = inspect.signature(function).parameters  # type: ignore[arg-type]
        return {name: parameter.default for name, parameter in found.items()}

    assert parameters(ours) == parameters(its)


def test_python_m_and_the_console_script_are_the_same_program() -> None:
    script = Path(sys.executable).with_name("replication-assets")
    shown = [
        subprocess.run([*program, "--help"], capture_output=True, text=True, check=True).stdout
        for program in ([script], [sys.executable, "-m", "replication_assets"])
    ]
    assert shown[0] == shown[1]


def test_the_version_is_that_of_the_package() -> None:
    asked = [sys.executable, "-m", "replication_assets", "--version"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"replication-assets \d+\.\d+\.\d+\n", told)
