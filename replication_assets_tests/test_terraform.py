"""The Terraform module holds together: what it refers to is there, and its example fits it and DMS.

Terraform itself is not needed here; docs/infrastructure.md says what it validates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from replication_assets.dms.task import read_task
from replication_assets_tests.markdown import ROOT

MODULE = ROOT / "infra" / "terraform"
EXAMPLE = MODULE / "examples" / "order-events"

METRICS = {
    "CDCChangesDiskSource",
    "CDCChangesDiskTarget",
    "CDCChangesMemorySource",
    "CDCChangesMemoryTarget",
    "CDCIncomingChanges",
    "CDCLatencySource",
    "CDCLatencyTarget",
    "CPUUtilization",
    "FreeStorageSpace",
    "MemoryUsage",
    "SwapUsage",
}
"""Of AWS DMS, as its user guide lists them; there is no TaskStatus among them."""


class Configuration:
    """The blocks of a folder's files, and what they refer to."""

    def __init__(self, folder: Path) -> None:
        self.files = {file.name: file.read_text() for file in sorted(folder.glob("*.tf"))}
        self.blocks = [_plain(hcl2.loads(text)) for text in self.files.values()]
        self.text = "\n".join(_texts(self.blocks))

    def named(self, kind: str) -> dict[str, Any]:
        """Variables, outputs, modules by name."""
        return {name: body for each in self._all(kind) for name, body in each.items()}

    def typed(self, kind: str) -> dict[str, Any]:
        """Resources or data by `type.name`."""
        return {
            f"{type_}.{name}": body
            for each in self._all(kind)
            for type_, names in each.items()
            for name, body in names.items()
        }

    @property
    def locals(self) -> set[str]:
        return {name for each in self._all("locals") for name in each if not name.startswith("__")}

    def referred(self, pattern: str) -> set[str]:
        return {
            ".".join(found) if isinstance(found, tuple) else found for found in re.findall(pattern, self.text)
        }

    def _all(self, kind: str) -> Iterator[dict[str, Any]]:
        for block in self.blocks:
            yield from block.get(kind, [])


def _plain(value: Any) -> Any:
    """python-hcl2 leaves the quotes of strings and labels."""
    if isinstance(value, dict):
        return {_plain(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


@pytest.fixture(scope="module")
def module() -> Configuration:
    return Configuration(MODULE)


@pytest.fixture(scope="module")
def example() -> Configuration:
    return Configuration(EXAMPLE)


@pytest.mark.parametrize("folder", [MODULE, EXAMPLE], ids=["module", "example"])
def test_whatever_is_referred_to_is_declared_in_the_same_folder(folder: Path) -> None:
    found = Configuration(folder)
    assert found.files
    assert found.referred(r"\bvar\.(\w+)") <= set(found.named("variable"))
    assert found.referred(r"\blocal\.(\w+)") <= found.locals
    assert found.referred(r"\bdata\.(aws_\w+)\.(\w+)") <= set(found.typed("data"))
    assert found.referred(r"(?<!data\.)\b(aws_\w+)\.(\w+)") <= set(found.typed("resource"))
    assert found.referred(r"\bmodule\.(\w+)") <= set(found.named("module"))


def test_nothing_is_declared_in_vain(module: Configuration) -> None:
    assert set(module.named("variable")) <= module.referred(r"\bvar\.(\w+)")
    assert module.locals <= module.referred(r"\blocal\.(\w+)")
    assert set(module.typed("data")) <= module.referred(r"\bdata\.(aws_\w+)\.(\w+)")


def test_variables_and_outputs_say_what_they_are_and_have_types(module: Configuration) -> None:
    for name, body in {**module.named("variable"), **module.named("output")}.items():
        assert len(body["description"]) > 10, name
    assert all("type" in body for body in module.named("variable").values())


def test_no_secret_is_given_or_read(module: Configuration, example: Configuration) -> None:
    """What Terraform reads or is given stands in its state."""
    for found in (module, example):
        assert not [name for name in found.typed("data") if "secret_version" in name or "ssm" in name]
        assert not [name for name in found.typed("resource") if "secret_version" in name or "random" in name]
        for body in found.typed("resource").values():
            assert not {"password", "username", "sasl_password"} & set(body)


def test_alarms_are_on_metrics_that_dms_has(module: Configuration) -> None:
    named = set(re.findall(r'"(CDC\w+)"', module.files["alarms.tf"]))
    (by_instance,) = (each["instance_has"] for each in module._all("locals") if "instance_has" in each)
    assert named == {"CDCLatencySource", "CDCLatencyTarget"}
    assert {name for name in by_instance if not name.startswith("__")} | named <= METRICS


def test_the_example_gives_the_module_what_it_wants_and_nothing_else(
    module: Configuration, example: Configuration
) -> None:
    (call,) = example.named("module").values()
    given = {name for name in call if not name.startswith("__")} - {"source"}
    variables = module.named("variable")
    assert given <= set(variables)
    assert {name for name, body in variables.items() if "default" not in body} <= given
    assert (EXAMPLE / call["source"]).resolve() == MODULE.resolve()
    assert example.referred(r"\bmodule\.order_events\.(\w+)") <= set(module.named("output"))


def test_the_tasks_of_the_example_are_sound_and_tile_the_ids() -> None:
    files = [*sorted((EXAMPLE / "mappings").glob("*.json")), EXAMPLE / "task_settings.json"]
    assert len(files) == 5
    task = read_task({str(file): file.read_text() for file in files}, None, escape="", target="dynamodb")
    assert [each for each in task.findings if each.severity == "error"] == []
    assert not {"range-gap", "range-overlap"} & {each.code for each in task.findings}


def test_every_file_that_a_test_of_the_module_names_is_there() -> None:
    text = (MODULE / "tests" / "module.tftest.hcl").read_text()
    paths = set(re.findall(r'"(examples/[\w./-]+)"', text))
    assert paths
    assert [path for path in paths if not (MODULE / path).is_file()] == []
    assert hcl2.loads(text)
