"""Files that AWS DMS lands in a folder or bucket, as a source: into the event store once each.

`place` lists and opens files, `csv_rows` and `parquet_rows` read them, `checking` proves that they are
whole, `decoding` makes events, `stream` tells what was read, `source` is the port.
"""
