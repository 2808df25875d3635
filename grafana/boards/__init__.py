"""The boards as code: signals (what is measured) make panels (how it looks), panels make boards (where it stands)."""
