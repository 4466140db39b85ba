"""Topics as what follows the event store: messages appended once, in order.

`topic` is the port; `clients` makes librdkafka's clients from settings that it is given, and tells their
errors as errors of a target.
"""
