"""`ReplicationComponent`: a catalog declared in YAML, as Dagster definitions.

Every mistake is told with its file and line, all of them at once: keys and types by the reader,
and what is wrong between declarations by the catalog's own rules. No line of the file is quoted:
one that stands near a mistake may hold a password that should not be there.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from pydantic import RootModel

from replication_assets.catalog import Catalog
from replication_assets.components.json_schema import json_schema
from replication_assets.components.scaffolding import ReplicationScaffolder
from replication_assets.components.yaml_catalog import catalog_of
from replication_assets.defs.build import build_definitions


class ReplicationAttributes(RootModel[dict[str, Any]]):
    """What stands under `attributes`, read later: templates are not rendered yet here."""

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """That of a catalog, whole: pydantic would look for its definitions among its own."""
        definitions: dict[str, Any] = {}
        return {**json_schema(Catalog, definitions), "$defs": definitions}


@dg.scaffold_with(ReplicationScaffolder)
class ReplicationComponent(dg.Component):
    """Databases replicated through an append-only event store: sources, tables, projections.

    One of them for a code location: it owns the resource `replication`.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        return dg.ComponentTypeSpec(
            description="Replicates database tables through an event store into projections.",
            produces=["asset", "asset_check", "job", "resource", "schedule", "sensor"],
        )

    @classmethod
    def get_model_cls(cls) -> type[ReplicationAttributes]:
        return ReplicationAttributes

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> ReplicationComponent:
        """Raises CatalogError with every mistake of the file."""
        raw = attributes.root if attributes is not None else {}
        return cls(catalog_of(raw, context.resolution_context))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        return build_definitions(self.catalog)
