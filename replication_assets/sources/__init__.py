"""Adapters of `ChangeSource`, one package per engine."""
