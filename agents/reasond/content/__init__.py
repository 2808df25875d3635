"""Where a publisher's messages come from: the built-in generator or a feed the user gives."""
