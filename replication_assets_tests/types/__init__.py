"""One logical type system: every type of each engine, through the store and into every target."""
