"""Dagster's entry point: the definitions of the catalog that the environment names.

`REPLICATION_ASSETS_CATALOG=package.module:attribute` points at a `Catalog`, or at a function
that returns one; unset, it is the sample system's. Loading reads that module and nothing
else: no connection, no secret.
"""

import os

import dagster as dg

from replication_assets.catalog_loading import CATALOG_VARIABLE, load_catalog
from replication_assets.defs.build import build_definitions

__all__ = ["CATALOG_VARIABLE", "defs", "load_catalog"]

SAMPLE = "replication_assets.demo.catalog:sample_catalog"


@dg.definitions
def defs() -> dg.Definitions:
    return build_definitions(load_catalog(os.environ.get(CATALOG_VARIABLE, SAMPLE)))
