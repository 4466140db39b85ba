"""Columns of XML and JSON as documents: what is declared (`spec`), parts of them (`selection`), and whole
columns at a time as JSON text (`columns`), for targets that hold rows. Items of DynamoDB are made of the same
parts in `core.items`.
"""
