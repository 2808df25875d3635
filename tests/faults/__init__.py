"""Real services and agents broken under load; the ledger counts what was lost and what came twice."""
