"""The AWS of the demonstration: moto's server, which answers as DynamoDB and S3 do, from memory.

What it holds is gone when it stops. That is on purpose here: a `dev` that continues finds its
DynamoDB tables emptied, notices, and fills them again from the event store.
"""

from __future__ import annotations

import time
import urllib.request

from replication_assets.demo.folder import DemoFolder
from replication_assets.demo.programs import Program
from replication_assets.errors import ReplicationError

HOST = "127.0.0.1"
START_SECONDS = 60.0


class AwsServer(Program):
    """`with AwsServer(folder, port) as aws:` an endpoint at `aws.url`, gone after the block."""

    def __init__(self, folder: DemoFolder, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        super().__init__(["moto.server", "-H", HOST, "-p", str(port)], log=folder.logs / "aws.log")
        self._note = folder.programs / str(self.pid)
        self._note.touch()

    def stop(self) -> None:
        super().stop()
        self._note.unlink(missing_ok=True)

    def wait_until_ready(self) -> None:
        """Returns when it answers. Raises ReplicationError if it never will."""
        deadline = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise ReplicationError(
            f"it did not start; its last words: {self.last_words()}", where=self.name, fix=f"Read {self.log}"
        )
