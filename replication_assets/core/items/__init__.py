"""Rows of a source table as items of a DynamoDB table: a pure, columnar conversion.

`spec` is what is declared, `rules` what can be wrong with it, `mapping` the conversion.
Nothing here knows how items are written.
"""
