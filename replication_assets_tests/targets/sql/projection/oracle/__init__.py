"""Tests of projections into Oracle. No server: see translated.py."""
