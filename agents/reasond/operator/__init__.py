"""What the operator's commands tell: the system on one screen, its decisions, its spend, and why it is so."""
