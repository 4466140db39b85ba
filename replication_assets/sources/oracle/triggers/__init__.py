"""Capture by triggers: a change log in the schema of the connecting account, and one trigger on each table.

Needs no archived log, no supplemental logging and no LogMiner, and costs writers an insert for each change.
"""
