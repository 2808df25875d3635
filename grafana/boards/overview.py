"""Board 1, Agent Overview: does everything run, and does the flow keep up?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from .frame import Panels, Row, board
from .look import ACTION_COLOURS, GREEN, ORANGE, RED, YELLOW
from .panels import Column, Words, rows, series, tile
from .signals import flow, state

DEPTHS = "Queue depths (real-time)"
DRAINS = "Time to drain"
STATUS = {name: ACTION_COLOURS[name] for name in ("healthy", "warning", "critical")}


def overview() -> Dashboard:
    """Give the board."""
    return board(
        "reasond-agent-overview",
        "Agent Overview",
        "Does everything run, and does the flow keep up? Read it from the tiles down.",
        [Row("Now", _tiles()), Row("The flow", _flow()), Row("The agents", _agents())],
        marked=(DEPTHS, DRAINS),
    )


def _tiles() -> Panels:
    return [
        tile(
            "System health score",
            state.SCORE,
            Words("80 or more.", "Under 50 messages expire, agents are missing or the figures are; docs/health.md."),
            base=RED,
            limits=((50, ORANGE), (80, GREEN)),
            none="no analysis",
            size=(6, 4),
        ),
        tile(
            "System status",
            state.STATUS,
            Words("healthy.", "critical means loss of service now: the monitor's issues say of what."),
            texts=STATUS,
            none="no analysis",
            size=(6, 4),
        ),
        tile(
            "Active agents count",
            state.ACTIVE,
            Words("as many as were installed, 7 by default.", "a missing publisher or consumer halves what it did."),
            base=RED,
            limits=((1, YELLOW), (7, GREEN)),
            none="0",
            none_colour=RED,
            size=(6, 4),
        ),
        tile(
            "Time to drain now",
            state.DRAIN,
            Words(
                "under half of the messages' time to live, 15 s by default.",
                "beyond it messages expire unread; not draining is worse, or nothing waits.",
            ),
            limits=((15, YELLOW), (30, RED)),
            none="not draining",
            size=(6, 4),
        ),
    ]


def _flow() -> Panels:
    return [
        series(
            "Messages published/consumed over time",
            [flow.PUBLISHED, flow.CONSUMED],
            Words(
                "consumed follows published within a minute.",
                "consumed below published for long: the queues grow, then messages expire.",
            ),
            size=(24, 9),
            points=360,
            shortest="1m",
        ),
        series(
            DEPTHS,
            [flow.DEPTHS],
            Words("low and level, whatever the load.", "a depth that climbs for minutes ends in expired messages."),
            size=(12, 9),
            points=360,
            shortest="5s",
        ),
        series(
            DRAINS,
            [state.DRAINS],
            Words("under half of the time to live (yellow).", "over the time to live (red) messages expire unread."),
            size=(12, 9),
            points=360,
            shortest="1m",
            limits=((15, YELLOW), (30, RED)),
            gaps=True,
        ),
        series(
            "Dead-letter depths",
            [flow.DEAD_DEPTHS],
            Words(
                "flat.",
                "each step is a message that nobody handled in time (expired), that broke its handler (rejected) "
                "or that looked wrong (flagged); `reasond quarantine list` shows them.",
            ),
            size=(12, 8),
            points=360,
            shortest="5s",
        ),
        series(
            "System health score over time",
            [state.SCORES],
            Words("80 or more (green).", "under 50 (red) the service suffers; the monitor's reasoning says why."),
            size=(12, 8),
            points=360,
            shortest="1m",
            limits=((50, ORANGE), (80, GREEN)),
            bounds=(0, 100),
        ),
    ]


def _agents() -> Panels:
    return [
        rows(
            "Agents, last seen",
            state.LAST_SEEN,
            Words(
                "seen within the last minute, not degraded.",
                "an agent that wasn't seen does nothing; a degraded one decides by rules or waits, and says why.",
            ),
            [
                Column("agent_id", "agent", width=130),
                Column("seen", "last seen", width=190, unit="dateTimeAsIso"),
                Column("degraded", "degraded", width=100, colours={"false": GREEN, "true": RED}),
                Column("degraded_reason", "why", width=160),
                Column("brain", "brain", width=90),
                Column("uptime_s", "up for", width=100, unit="s"),
                Column("memory_bytes", "memory", width=100, unit="bytes"),
                Column("version", "version", width=90),
                Column("state", "state"),
            ],
            size=(17, 9),
        ),
        series(
            "Agents alive and expected",
            [state.ALIVE, state.EXPECTED],
            Words("both lines are one.", "where alive falls, an agent was down: `systemctl status` and its journal."),
            size=(7, 9),
            points=360,
            shortest="1m",
            dashed="B",
        ),
    ]
