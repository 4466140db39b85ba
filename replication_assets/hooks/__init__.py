"""Switch hooks: what points readers at a projection, and back at its source."""
