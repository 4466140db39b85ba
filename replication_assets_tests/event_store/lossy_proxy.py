"""A proxy before the S3 server that loses the reply to a commit, in a process of its own.

While the switch file exists, the reply to the next PUT of a commit file is dropped after the
server has stored it, and the switch file with it. Where the switch file says `dead`, the
proxy answers nothing from then on but deletions, which are what must not be asked of it.
"""

from __future__ import annotations

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

upstream, switch = sys.argv[1], Path(sys.argv[2])
dead = False


class Lossy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self) -> None:
        global dead
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if dead and self.command != "DELETE" and not self.path.endswith("?delete"):
            self.close_connection = True
            return
        connection = http.client.HTTPConnection(upstream)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        is_commit = self.command == "PUT" and "_delta_log/" in self.path and ".json" in self.path
        if is_commit and switch.exists():
            dead = switch.read_text() == "dead"
            switch.unlink()
            self.close_connection = True
            return
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if reply.getheader("content-length") is None:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lossy)
    print(server.server_port, flush=True)  # noqa: T201
    server.serve_forever()
