"""The front end in YAML: `ReplicationComponent` makes of a `defs.yaml` what `build_definitions`
makes of a catalog in Python. Sets nothing up and connects to nothing."""

from replication_assets.components.replication import ReplicationComponent

__all__ = ["ReplicationComponent"]
