"""What may answer an agent's question: Claude, the rule-based controller, nothing at all, or a dry run."""
