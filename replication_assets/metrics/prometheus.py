"""Figures as Prometheus text: written to a file, or served over HTTP.

Names are `replication_assets_` and the figure's own name in snake case with its unit, in the
base units that Prometheus asks for: seconds, bytes. The file is replaced in one step, so that
the textfile collector of the node exporter never reads half of it; its name must end in `.prom`.
The values carry no timestamps: a file that is no longer written shows in the figure
`replication_assets_watched_at_seconds`, which the collector's own staleness rules would hide.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from replication_assets.errors import DeliveryError, ReplicationError
from replication_assets.ports.watch import Metric, Unit

PREFIX = "replication_assets"

_UNITS: dict[Unit, tuple[str, float]] = {
    "Seconds": ("_seconds", 1),
    "Hours": ("_seconds", 3600),
    "Count": ("", 1),
    "Count/Second": ("_per_second", 1),
    "Bytes": ("_bytes", 1),
    "Kilobytes/Second": ("_bytes_per_second", 1024),
    "Percent": ("_ratio", 0.01),
    "None": ("", 1),
}
"""Suffix, and factor to Prometheus' base unit."""

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def prometheus_name(metric: Metric) -> str:
    """`CDCLatencySource` in seconds is `replication_assets_cdc_latency_source_seconds`."""
    words = [word.lower() for word in _WORDS.findall(metric.name)]
    if metric.unit == "Hours" and words[-1] == "hours":
        words.pop()
    suffix, _ = _UNITS[metric.unit]
    name = "_".join([PREFIX, *words])
    return name if name.endswith(suffix) else name + suffix


def render(metrics: Sequence[Metric]) -> bytes:
    """The text exposition format, 0.0.4."""
    return generate_latest(_Registry(metrics))


class _Registry(CollectorRegistry):
    """Only what is given: no figures of this process beside it."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        super().__init__(auto_describe=False)
        self._metrics = metrics

    def collect(self) -> Iterable[Family]:
        families: dict[str, list[Metric]] = {}
        for metric in self._metrics:
            families.setdefault(prometheus_name(metric), []).append(metric)
        for name, members in sorted(families.items()):
            yield _family(name, members)


def _family(name: str, members: Sequence[Metric]) -> GaugeMetricFamily:
    labels = sorted({label for metric in members for label in metric.dimensions})
    family = GaugeMetricFamily(name, members[0].help, labels=[_label(label) for label in labels])
    for metric in members:
        _, factor = _UNITS[metric.unit]
        values = [metric.dimensions.get(label, "") for label in labels]
        family.add_metric(values, metric.value * factor)
    return family


def _label(name: str) -> str:
    return "_".join(word.lower() for word in _WORDS.findall(name))


@dataclass(frozen=True, slots=True)
class PrometheusFile:
    """See `ports.watch.MetricSink`."""

    file: str

    @property
    def where(self) -> str:
        return f"Prometheus file {self.file}"

    def publish(self, metrics: Sequence[Metric]) -> None:
        path = Path(self.file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Beside the file: a rename is one step on one file system only. Without `.prom` at its
            # end the collector passes it over.
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(render(metrics))
                Path(temporary).chmod(0o644)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            fix = "give a folder that this process may write to"
            raise DeliveryError(error.strerror or "cannot be written", where=self.where, fix=fix) from error


def server(
    collect: Callable[[], Sequence[Metric]], host: str = "127.0.0.1", port: int = 9187
) -> ThreadingHTTPServer:
    """Answers `GET /metrics` with what `collect` finds at that moment; start it with
    `serve_forever()`. What cannot be collected is answered with 503 and the reason."""

    class Exposition(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.split("?", 1)[0] != "/metrics":
                self._answer(404, b"see /metrics\n", "text/plain; charset=utf-8")
                return
            try:
                text = render(collect())
            except ReplicationError as error:
                self._answer(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
                return
            self._answer(200, text, CONTENT_TYPE_LATEST)

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is not worth a line."""

    return ThreadingHTTPServer((host, port), Exposition)
