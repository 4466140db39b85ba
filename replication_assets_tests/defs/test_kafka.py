"""A topic in Dagster: its sensor sees it move, and the run that it asks for captures it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from replication_assets import (
    Catalog,
    DeltaProjection,
    EventStoreConfig,
    KafkaSourceConfig,
    Replication,
    Table,
    build_definitions,
)
from replication_assets.core.schema import TableId
from replication_assets_tests.kafka_servers import Broker, dms


def test_a_topic_that_moves_is_captured_by_the_run_that_its_sensor_asks_for(
    broker: Broker, tmp_path: Path
) -> None:
    topic = broker.topic(2)
    source = KafkaSourceConfig(
        "feed",
        bootstrap_servers=broker.address,
        topics=[topic],
        envelope="dms",
        tls=False,
        columns={"public.orders": ["id bigint"]},
    )
    catalog = Catalog(
        EventStoreConfig(str(tmp_path / "store")),
        sources=[source],
        tables=[Table("feed.public.orders", key=["id"])],
        projections=[DeltaProjection("lake", tables=["feed.*"], root=str(tmp_path / "lake"))],
    )
    definitions = build_definitions(catalog)
    repository = definitions.get_repository_def()
    store = Replication(catalog).store()
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
            context = dg.build_sensor_context(
                instance=instance, repository_def=repository, resources=definitions.resources, cursor=cursor
            )
            with context:
                return repository.get_sensor_def("feed_offsets").evaluate_tick(context)  # type: ignore[return-value]

        def run(job: str) -> None:
            assert repository.get_job(job).execute_in_process(instance=instance).success

        run("feed_setup")
        broker.produce(topic, [(str(key), dms("insert", {"id": key})) for key in range(20)])
        asked = tick(None)
        assert [request.job_name for request in asked.run_requests or ()] == ["feed_capture"]  # type: ignore[union-attr]
        run("feed_capture")
        again = tick(asked.cursor)  # type: ignore[union-attr]
        assert not again.run_requests  # type: ignore[union-attr]
    counts = store.log(TableId("feed", "public", "orders")).snapshot().counts()
    assert sum(cell.rows for cell in counts) == 20
