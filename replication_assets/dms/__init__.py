"""AWS DMS task files: table mappings and task settings, read, explained and turned into declarations.

Pure: texts and columns in, findings and declarations out. Nothing is refused by raising while a file
is read; everything that is wrong with it is listed at once, with line and column.
"""
