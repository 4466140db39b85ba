"""Refreshes: a masked copy of tables, from the event store into an environment, in five steps.

`plan` decides, `mask` reads and seals, `load` fills a shadow beside what readers see, `verify`
proves, `publish` shows. Each step holds the environment for its own time, goes on where a killed one
stopped, and hands on names and figures only: sealed rows wait in the event store's staging.
"""
