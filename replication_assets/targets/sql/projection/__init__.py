"""Tables of SQL databases kept equal to the folds of tables of any source.

The databases stand in modules of their own (`postgres`, `mysql`, `sqlite`, `sqlserver`, `oracle`), which
import their drivers.
"""

from replication_assets.targets.sql.projection.carried import Projected
from replication_assets.targets.sql.projection.target import SqlTarget

__all__ = ["Projected", "SqlTarget"]
