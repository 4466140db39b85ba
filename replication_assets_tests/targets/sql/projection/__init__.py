"""Tests of projections into SQL databases."""
