"""Kinesis data streams as what follows the event store: records appended at least once, in the order of
each key.

`topic` is the port; `appending` sends records and sends again what was not taken, `key_order` says which may
go next; `stream` asks what stream it is and reads it; `client` is boto3's, and its errors as errors of a
target.
"""
