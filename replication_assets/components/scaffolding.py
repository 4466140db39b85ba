"""What `dg scaffold defs replication_assets.components.ReplicationComponent NAME` writes: a file that
loads as it stands, with the choices that come next as comments."""

from __future__ import annotations

from typing import Any

from dagster.components.scaffold.scaffold import Scaffolder, ScaffoldRequest

from replication_assets.errors import CatalogError

STARTING_POINT = """\
type: {type}

attributes:
  # A folder or s3://bucket/prefix. Options are those of delta-rs; secret ones by reference.
  event_store:
    root: ./event_store
    # storage_options: {{AWS_REGION: eu-west-1}}

  sources:
    - name: shop
      host: db.internal
      database: shop
      user: replicator
      password: {{env: SHOP_DB_PASSWORD}} # or {{secrets_manager: ...}}, {{ssm: ...}}
      mode: micro-batch # continuous: one long-lived run instead of one for each batch

  # All by their full names. Ids are cut into ranges that are loaded, and projected, on their own.
  tables:
    - shop.public.customers
    - path: shop.public.orders
      id_ranges: {{by_width: 1000000}} # or {{by_count: 4}}, {{by_bounds: [...]}}
    # - path: shop.public.order_events
    #   append_only: true
    #   id_ranges: {{by_width: 5000000}}
    #   event_date: {{column: created_at, granularity: month, start: 2024-01-01}}

  projections:
    - delta:
        name: lake
        tables: [shop.*]
        root: ./lakehouse
        # follow: inline # with a continuous capture: at every flush
    # - dynamodb:
    #     name: served
    #     items:
    #       - table: shop.public.orders
    #         into: orders
    #         partition_key: {{name: pk, template: "order#${{id}}"}}

  # Masked copies for tests: what becomes of every column, where to, and when. A refresh that lacks
  # a column stops, and proposes a rule; `replication-assets mask suggest` proposes all of them.
  # policies:
  #   - name: masks
  #     tables:
  #       - table: shop.public.customers
  #         columns:
  #           id: {{data_class: public, reviewed: bigint not null}}
  #           email: {{data_class: pii.email, mask: email, reviewed: text}}
  # environments:
  #   - name: qa
  #     target: {{postgres: {{host: qa.internal, database: qa, user: qa, password: {{env: QA_PASSWORD}}}}}}
  #     mask_key: {{env: QA_MASK_KEY}} # openssl rand -hex 32
  # refreshes:
  #   - name: nightly
  #     environment: qa
  #     policy: masks
  #     tables: [shop.public.customers]
  #     start: {{schedule: {{cron: "0 3 * * *", timezone: Europe/Berlin}}}}
"""


class ReplicationScaffolder(Scaffolder[Any]):
    """Writes `defs.yaml`."""

    def scaffold(self, request: ScaffoldRequest[Any]) -> None:
        if request.scaffold_format != "yaml":
            problem = "it is written in YAML. Fix: leave out --format, or call build_definitions in Python"
            raise CatalogError([problem], where=request.type_name)
        request.target_path.mkdir(parents=True, exist_ok=True)
        path = request.target_path if request.append else request.target_path / "defs.yaml"
        text = STARTING_POINT.format(type=request.type_name)
        with path.open("a" if request.append else "w", encoding="utf-8") as file:
            file.write(f"---\n{text}" if request.append else text)
