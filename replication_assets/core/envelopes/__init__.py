"""Changes as messages of a topic: the envelopes of AWS DMS and of Debezium, and their values.

Pure: bytes of a message in, changes and columns out. Numbers keep every digit that the message has.
"""
