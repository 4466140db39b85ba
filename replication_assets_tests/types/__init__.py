"""One logical type system: each engine's types, with their odd values, through the store and into every target."""
