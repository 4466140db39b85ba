"""The shape of the package: imports point inward, files stay small, loading touches nothing."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import replication_assets
from replication_assets_tests.architecture_rules import (
    MAX_FILE_LINES,
    MAX_FUNCTION_LINES,
    Module,
    import_violations,
    shape_violations,
)

ROOT = Path(replication_assets.__file__).parent


def all_modules() -> list[Module]:
    return [Module(module_name(path), path.read_text()) for path in sorted(ROOT.rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_imports_point_inward() -> None:
    problems = [problem for module in all_modules() for problem in import_violations(module)]
    assert problems == []


def test_every_module_says_what_it_owns_and_fits_a_few_screens() -> None:
    problems = [problem for module in all_modules() for problem in shape_violations(module)]
    assert problems == []


def test_all_modules_are_read() -> None:
    names = {module.name for module in all_modules()}
    assert {"", "errors", "ports", "core.schema", "demo.postgres_server"} <= names


def test_loading_the_definitions_opens_no_connection_and_reads_no_secret() -> None:
    program = """
        import sys

        def refuse(event, arguments):
            if event in ("socket.connect", "socket.bind", "subprocess.Popen"):
                raise RuntimeError(f"{event} while loading definitions: {arguments}")

        def refuse_secret(*_):
            raise RuntimeError("a secret is read while loading definitions")

        import replication_assets.secret_references as secret_references
        secret_references.resolve = refuse_secret
        sys.addaudithook(refuse)

        import dagster
        from replication_assets import definitions
        loaded = definitions.defs()
        dagster.Definitions.validate_loadable(loaded)
        assert loaded.resolve_all_asset_specs(), "nothing was loaded"
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={"PATH": os.defpath, "HOME": os.environ.get("HOME", "/")},
        cwd=ROOT.parent,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "statement", "reason"),
    [
        ("core.fold", "import psycopg", "core may not use psycopg"),
        ("core.fold", "import pandas as pd", "only cli, defs may import pandas"),
        ("core.fold", "import time", "core is pure"),
        ("core.fold", "from replication_assets import ports", "core may not import ports"),
        ("core.fold", "from replication_assets.ports import EventStore", "core may not import ports"),
        (
            "core.fold",
            "def f():\n    import dagster",
            "only cli, components, definitions, defs, demo may import dagster",
        ),
        ("core.fold", "from . import schema", "relative import"),
        ("ports", "from replication_assets.flows import load", "ports may not import flows"),
        ("ports", "from replication_assets.secret_references import resolve", "ports may not import secret"),
        ("catalog", "from replication_assets.ports import EventStore", "declarations may not import ports"),
        ("flows.load", "import deltalake", "flows may not use deltalake"),
        ("flows.load", "from replication_assets.sources.postgres import x", "flows may not import adapter"),
        ("flows.load", "from replication_assets.defs import build", "flows may not import defs"),
        ("sources.mysql", "from replication_assets.sources.postgres import x", "one adapter imports another"),
        (
            "targets.delta.commit",
            "from replication_assets.event_store import x",
            "one adapter imports another",
        ),
        (
            "targets.delta",
            "from replication_assets.catalog import Catalog",
            "adapter may not import declarat",
        ),
        ("event_store", "import dagster as dg", "may import dagster"),
        ("defs.build", "from replication_assets.targets import delta", "defs may not import adapter"),
        ("replication", "from replication_assets.defs import build", "composition may not import defs"),
        ("catalog", "from replication_assets.demo import monolith", "declarations may not import demo"),
        ("newcomer", "import os", "belongs to no room"),
    ],
)
def test_an_import_that_points_outward_is_found(module: str, statement: str, reason: str) -> None:
    (problem,) = import_violations(Module(module, statement))
    assert reason in problem


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("core.fold", "import duckdb\nimport pyarrow.compute as pc\nimport numpy.typing as npt"),
        ("core.fold", "from replication_assets.core import schema\nfrom replication_assets.errors import X"),
        ("targets.delta.commit", "import deltalake\nfrom replication_assets.targets.delta.parts import x"),
        ("sources.postgres", "from replication_assets.secret_references import Secret"),
        ("defs.build", "import dagster as dg\nfrom replication_assets.replication import Replication"),
        ("replication", "from replication_assets.targets.delta import DeltaTarget"),
        ("cli", "import pandas\nfrom replication_assets.event_store import DeltaEventStore"),
    ],
)
def test_an_import_that_points_inward_is_allowed(module: str, statement: str) -> None:
    assert import_violations(Module(module, statement)) == []


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("core.fold", "x = 1", "no docstring"),
        ("core.fold", '"""Doc."""\n' * (MAX_FILE_LINES + 1), "351 lines"),
        ("core.utils", '"""Doc."""', "says nothing"),
        ("defs.slot_manager", '"""Doc."""', "says nothing"),
        ("core.fold", '"""Doc."""\ndef long():\n' + "    x = 1\n" * MAX_FUNCTION_LINES, "long: 51 lines"),
    ],
)
def test_a_module_out_of_shape_is_found(name: str, source: str, reason: str) -> None:
    (problem,) = shape_violations(Module(name, source))
    assert reason in problem
