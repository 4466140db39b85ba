"""Figures in Amazon CloudWatch, under the names that DMS uses where it has the figure.

One `PutMetricData` takes 1,000 figures. Every combination of name and dimensions is a metric of
its own, and is charged for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from replication_assets.errors import DeliveryError
from replication_assets.ports.watch import Metric
from replication_assets.secret_references import aws_client

_MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class CloudWatchSink:
    """See `ports.watch.MetricSink`. `dimensions` are put on every figure."""

    namespace: str = "ReplicationAssets"
    region: str | None = None
    endpoint_url: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def where(self) -> str:
        return f"CloudWatch namespace {self.namespace}"

    def publish(self, metrics: Sequence[Metric]) -> None:
        try:
            client = aws_client("cloudwatch", region_name=self.region, endpoint_url=self.endpoint_url)
            for some in _parts(metrics):
                data = [self._datum(metric) for metric in some]
                client.put_metric_data(Namespace=self.namespace, MetricData=data)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            fix = "check that this role may cloudwatch:PutMetricData"
            raise DeliveryError(f"AWS answered {code}", where=self.where, fix=fix) from error
        except BotoCoreError as error:
            fix = "check the region, the endpoint and the AWS credentials of this process"
            raise DeliveryError(f"not reached ({type(error).__name__})", where=self.where, fix=fix) from error

    def _datum(self, metric: Metric) -> dict[str, Any]:
        dimensions = {**self.dimensions, **metric.dimensions}
        return {
            "MetricName": metric.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Timestamp": metric.at,
            "Value": metric.value,
            "Unit": "None" if metric.unit == "Hours" else metric.unit,
        }


def _parts(metrics: Sequence[Metric]) -> Iterator[Sequence[Metric]]:
    for start in range(0, len(metrics), _MOST_AT_ONCE):
        yield metrics[start : start + _MOST_AT_ONCE]
