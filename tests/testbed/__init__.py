"""Private instances of the real services, started by the tests for themselves."""
