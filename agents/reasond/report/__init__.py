"""The report: one page that shows a simulation, or a time range of the running system, and what came of it."""
