"""What makes a catalog impossible, each rule with the way out."""

from replication_assets.catalog_rules.catalog import catalog_problems

__all__ = ["catalog_problems"]
