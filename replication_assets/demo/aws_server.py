"""The AWS of the demonstration: moto's server, which answers as DynamoDB and S3 do, from memory.

What it holds is gone when it stops. That is on purpose here: a `dev` that continues finds its
DynamoDB tables emptied, notices, and fills them again from the event store.
"""

from __future__ import annotations

from replication_assets.demo.folder import DemoFolder
from replication_assets.demo.programs import Server

HOST = "127.0.0.1"


class AwsServer(Server):
    """`with AwsServer(folder, port) as aws:` an endpoint at `aws.url`, gone after the block."""

    def __init__(self, folder: DemoFolder, port: int) -> None:
        super().__init__(
            folder,
            ["moto.server", "-H", HOST, "-p", str(port)],
            url=f"http://{HOST}:{port}",
            log=folder.logs / "aws.log",
        )

    def wait_until_ready(self) -> None:
        self.wait_for("/moto-api/")
