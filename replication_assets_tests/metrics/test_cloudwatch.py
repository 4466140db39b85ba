"""Figures handed to CloudWatch are read back from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from replication_assets.errors import DeliveryError
from replication_assets.metrics.cloudwatch import CloudWatchSink
from replication_assets.ports.watch import Metric

REGION = "eu-central-1"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


def client(endpoint: str):
    return boto3.client("cloudwatch", region_name=REGION, endpoint_url=endpoint)


def test_a_figure_is_read_back_with_its_unit_and_dimensions(aws: str) -> None:
    sink = CloudWatchSink("Shop/Replication", REGION, aws, {"Environment": "test"})
    sink.publish(
        [
            Metric("CDCLatencySource", "Seconds", 12.5, NOW, "", {"Source": "shop"}),
            Metric("CDCLatencySource", "Seconds", 7.5, NOW, "", {"Source": "other"}),
            Metric("SlotHeadroomHours", "Hours", 3.0, NOW, "", {"Source": "shop"}),
        ]
    )
    dimensions = [{"Name": "Environment", "Value": "test"}, {"Name": "Source", "Value": "shop"}]
    stat = {
        "Metric": {
            "Namespace": "Shop/Replication",
            "MetricName": "CDCLatencySource",
            "Dimensions": dimensions,
        },
        "Period": 60,
        "Stat": "Maximum",
        "Unit": "Seconds",
    }
    (found,) = client(aws).get_metric_data(
        MetricDataQueries=[{"Id": "latency", "MetricStat": stat}],
        StartTime=NOW - dt.timedelta(minutes=5),
        EndTime=NOW + dt.timedelta(minutes=5),
    )["MetricDataResults"]
    assert found["Values"] == [12.5]
    listed = client(aws).list_metrics(Namespace="Shop/Replication")["Metrics"]
    names = {(each["MetricName"], str(each["Dimensions"])) for each in listed}
    assert ("SlotHeadroomHours", str(dimensions)) in names


def test_more_figures_than_one_call_takes_all_arrive(aws: str) -> None:
    metrics = [
        Metric("Freshness", "Seconds", float(number), NOW, "", {"Table": f"t{number}"})
        for number in range(1001)
    ]
    CloudWatchSink(region=REGION, endpoint_url=aws).publish(metrics)
    pages = client(aws).get_paginator("list_metrics").paginate(Namespace="ReplicationAssets")
    tables = {each["Dimensions"][0]["Value"] for page in pages for each in page["Metrics"]}
    assert tables == {f"t{number}" for number in range(1001)}


def test_an_endpoint_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    sink = CloudWatchSink(region=REGION, endpoint_url="http://127.0.0.1:1")
    with pytest.raises(DeliveryError, match="CloudWatch namespace ReplicationAssets: not reached"):
        sink.publish([Metric("Freshness", "Seconds", 1.0, NOW, "")])
