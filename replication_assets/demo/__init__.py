"""The sample system: a real PostgreSQL, a monolith with traffic, and the whole job over it."""
