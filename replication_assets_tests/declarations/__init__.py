"""Tests of what is read off declarations."""
