"""Capture from the redo log by LogMiner: files, windows, transactions, statements, events."""
