"""What people run by hand, one module a command; `reasond.cli` puts them together."""
