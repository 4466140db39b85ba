"""What each family of masking rules does: one module per family, each with its `BUILDERS`."""
