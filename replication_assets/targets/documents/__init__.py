"""A target beneath which columns of XML and JSON arrive as documents. `DocumentTarget` is the way in."""

from replication_assets.targets.documents.target import DocumentTarget

__all__ = ["DocumentTarget"]
