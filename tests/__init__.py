"""The tests; `make test` runs them all, `make check` those that need nothing but Python."""
