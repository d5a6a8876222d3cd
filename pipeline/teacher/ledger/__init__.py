"""The ledger, and what is read from it, moved in and out of it, and settled in it."""
