"""Every statement that the adapter sends, as functions of names and positions.

Nothing here connects. A test parses all of them as Transact-SQL, with names that try to end a quoted
identifier. Values of rows are in none: what statements hold is names, positions and bounds of ranges.
"""
