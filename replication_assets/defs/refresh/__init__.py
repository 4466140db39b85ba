"""Refreshes in Dagster: five visible steps, the assets of the copies, what starts them, and the guard."""
