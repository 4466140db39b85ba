"""Promises broken on purpose: edits of the program that its tests must notice."""
