"""Measurements of speed on real services; each is a command of its own."""
