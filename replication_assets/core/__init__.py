"""The pure heart: positions, schemas, events, id ranges, fold. No I/O, no clock, no environment."""
