"""Watching: how everything fares, what is wrong with it, what is told and measured."""
