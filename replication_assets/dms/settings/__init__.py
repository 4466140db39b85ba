"""Task settings: every section and setting of DMS, and what becomes of each here."""
