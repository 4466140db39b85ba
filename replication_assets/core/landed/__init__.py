"""Files that AWS DMS lands: what their names, rows and values say.

Pure: names and columns in, places, typed columns and events out.
"""
