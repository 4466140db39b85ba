"""Topics as a source: what DMS, Debezium or this project's own producer wrote, into the event store.

`stream` cuts topics into blocks, `decoding` reads messages, `source` is the port.
"""
