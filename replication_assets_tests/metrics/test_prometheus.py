"""Prometheus text is what Prometheus reads: parsed here with its own client's parser."""

from __future__ import annotations

import datetime as dt
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from replication_assets.errors import DeliveryError, SourceUnavailable
from replication_assets.flows.watch.metrics import FIGURES
from replication_assets.metrics.prometheus import PrometheusFile, prometheus_name, render, server
from replication_assets.ports.watch import Metric

AT = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
LATENCY = Metric("CDCLatencySource", "Seconds", 1.5, AT, "How late.", {"Source": "shop"})
HEADROOM = Metric("SlotHeadroomHours", "Hours", 2.0, AT, "How long.", {"Source": "shop"})
BANDWIDTH = Metric("FullLoadThroughputBandwidthTarget", "Kilobytes/Second", 3.0, AT, "How fast.", {})


def samples(text: bytes) -> dict[tuple[str, str], float]:
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_figures_have_base_units_and_labels() -> None:
    assert samples(render([LATENCY, HEADROOM, BANDWIDTH])) == {
        ("replication_assets_cdc_latency_source_seconds", "[('source', 'shop')]"): 1.5,
        ("replication_assets_slot_headroom_seconds", "[('source', 'shop')]"): 7200.0,
        ("replication_assets_full_load_throughput_bandwidth_target_bytes_per_second", "[]"): 3072.0,
    }


def test_help_and_type_are_told_once_for_all_labels() -> None:
    other = Metric("CDCLatencySource", "Seconds", 4.0, AT, "How late.", {"Source": 'a "quoted" \\ name\n'})
    text = render([LATENCY, other]).decode()
    assert text.count("# HELP replication_assets_cdc_latency_source_seconds How late.") == 1
    assert text.count("# TYPE replication_assets_cdc_latency_source_seconds gauge") == 1
    (family,) = text_string_to_metric_families(text)
    assert {sample.labels["source"] for sample in family.samples} == {"shop", 'a "quoted" \\ name\n'}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_every_figure_has_a_name_that_prometheus_takes(figure) -> None:
    name = prometheus_name(Metric(figure.name, figure.unit, 0.0, AT, figure.help))
    assert re.fullmatch(r"replication_assets_[a-z][a-z_]*[a-z]", name)
    assert "c_d_c" not in name
    assert not re.search(r"_(\w+)_\1$", name)


def test_the_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "collector" / "replication.prom"
    PrometheusFile(str(file)).publish([LATENCY])
    before = file.stat().st_ino
    PrometheusFile(str(file)).publish([HEADROOM])
    assert samples(file.read_bytes()) == {
        ("replication_assets_slot_headroom_seconds", "[('source', 'shop')]"): 7200.0
    }
    assert file.stat().st_ino != before
    assert [path.name for path in file.parent.iterdir()] == ["replication.prom"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "collector").write_text("a file, not a folder")
    file = tmp_path / "collector" / "replication.prom"
    with pytest.raises(DeliveryError, match=str(file)):
        PrometheusFile(str(file)).publish([LATENCY])


def test_the_server_answers_with_what_is_measured_then() -> None:
    values = iter([1.0, 2.0])

    def collect() -> list[Metric]:
        try:
            return [Metric("CDCLatencySource", "Seconds", next(values), AT, "How late.")]
        except StopIteration:
            raise SourceUnavailable("refused", where="shop") from None

    exposition = server(collect, port=0)
    thread = threading.Thread(target=exposition.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://127.0.0.1:{exposition.server_address[1]}"
    try:
        found = [urllib.request.urlopen(f"{url}/metrics").read() for _ in range(2)]
        with pytest.raises(urllib.error.HTTPError) as failed:
            urllib.request.urlopen(f"{url}/metrics")
        with pytest.raises(urllib.error.HTTPError) as missing:
            urllib.request.urlopen(f"{url}/")
    finally:
        exposition.shutdown()
        thread.join()
        exposition.server_close()
    assert [list(samples(text).values()) for text in found] == [[1.0], [2.0]]
    assert (failed.value.code, failed.value.read()) == (503, b"shop: refused\n")
    assert missing.value.code == 404
