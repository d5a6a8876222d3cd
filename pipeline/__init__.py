"""The machine that runs recipes: choices, steps, rows, records, teachers and the ledger."""
