"""Points of decisions for the report's tests."""

from reasond.points import Row

SECOND = 10**9


def row(at=0, agent_id="publisher-1", action="continue", queue="", brain="rules", **fields):
    """Give a point of `agent_reasoning` so many seconds after the epoch."""
    kind = agent_id.rpartition("-")[0]
    tags = {
        "agent_id": agent_id,
        "agent_type": kind,
        "action": action,
        "brain": brain,
        "model": "none",
        "prompt_version": "none",
    }
    if queue:
        tags["queue"] = queue
    return Row("agent_reasoning", tags, {"decision_id": "1", **fields}, at * SECOND)
