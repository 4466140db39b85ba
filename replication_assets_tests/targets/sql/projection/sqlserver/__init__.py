"""Tests of projections into SQL Server. No server: see translated.py."""
