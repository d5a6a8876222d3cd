"""One door in front of one ledger of paid replies; the only asynchronous code."""
