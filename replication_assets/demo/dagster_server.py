"""The Dagster webserver and daemon of `demo dev`: `dagster dev`, started, asked and stopped.

Owns the processes and the few questions that are put to the webserver. Listens on the loopback
address only: whoever reaches the UI may run everything.
"""

from __future__ import annotations

import json
import socket
import urllib.request

from replication_assets.demo.folder import DemoFolder
from replication_assets.demo.programs import Server
from replication_assets.errors import ReplicationError

HOST = "127.0.0.1"
STOP_SECONDS = 20.0
PORTS = 20
LOCATION = "replication_assets"

WORKSPACE = f"""load_from:
  - python_module:
      module_name: replication_assets.definitions
      location_name: {LOCATION}
"""

START_SENSOR = """
mutation Start($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) {
    __typename
    ... on PythonError { message }
    ... on SensorNotFoundError { message }
    ... on UnauthorizedError { message }
  }
}
"""


def next_free_port(first: int) -> int:
    """`first`, or the next port that nobody listens on."""
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ReplicationError(
        f"ports {first} to {first + PORTS - 1} are all taken",
        where=HOST,
        fix="choose another: --ui-port PORT",
    )


class DagsterServer(Server):
    """`with DagsterServer(...) as server:` webserver, daemon and code server, all gone after it."""

    def __init__(self, folder: DemoFolder, environment: dict[str, str], port: int) -> None:
        workspace = folder.dagster_home / "workspace.yaml"
        workspace.write_text(WORKSPACE)
        super().__init__(
            folder,
            ["dagster", "dev", "-w", str(workspace), "-h", HOST, "-p", str(port)],
            url=f"http://{HOST}:{port}",
            log=folder.logs / "dagster.log",
            environment=environment,
            patience=STOP_SECONDS,
        )

    def wait_until_ready(self) -> None:
        self.wait_for("/server_info")

    def start_sensor(self, name: str) -> None:
        """Sensors that start runs on a source are off until somebody turns them on."""
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "sensorName": name,
        }
        answer = self._ask(START_SENSOR, {"selector": selector})["startSensor"]
        if answer["__typename"] != "Sensor":
            raise self.ended(f"sensor {name} was not started: {answer.get('message', answer['__typename'])}")

    def _ask(self, query: str, variables: dict[str, object]) -> dict[str, dict[str, str]]:
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, dict[str, dict[str, str]]] = json.load(answer)
        if "data" not in found or not found["data"]:
            raise self.ended(f"a question was refused: {found.get('errors')}")
        return found["data"]
