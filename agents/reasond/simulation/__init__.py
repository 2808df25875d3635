"""The same agents in virtual time, on the embedded broker and store."""
