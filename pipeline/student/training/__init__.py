"""A training: how it fits the machine, in how many processes it runs, and what it goes on from."""
