"""Policies of AWS for exactly what a catalog declares: pure, from declarations to documents.

What the adapters call is written down here a second time, as actions; a test runs a whole catalog
against recording servers and holds every request against the documents, and every action against
the requests.
"""
