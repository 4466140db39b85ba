"""Faults mixed at random, for minutes or hours: `make soak`."""
