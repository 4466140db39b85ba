"""Oracle Database as a source: loads as of an SCN, capture from the redo log by LogMiner."""

from replication_assets.sources.oracle.connection import OracleConnection
from replication_assets.sources.oracle.source import OracleSource

__all__ = ["OracleConnection", "OracleSource"]
