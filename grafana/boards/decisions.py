"""Board 2, AI Decision Dashboard: what the agents decided, why, and how surely and quickly."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from .frame import Panels, Row, board
from .look import ACTION_COLOURS, RED, YELLOW
from .panels import Column, Words, rows, series
from .signals import cost, decisions, flow

DEPTHS = "Queue depths beneath the decisions"
_REASON_COLUMNS = (
    Column("timestamp", "timestamp", width=190, unit="dateTimeAsIso"),
    Column("agent_id", "agent_id", width=140),
    Column("action", "action", width=140, colours=ACTION_COLOURS),
)


def ai_decisions() -> Dashboard:
    """Give the board."""
    return board(
        "reasond-ai-decisions",
        "AI Decision Dashboard",
        "What the agents decided, and why.",
        [
            Row("What was decided", _decided()),
            Row("Why", _why()),
            Row("How surely, how quickly, at what cost", _quality()),
            Row("Where the model was not followed, or gave no answer", _corrected()),
        ],
        marked=(DEPTHS,),
    )


def _decided() -> Panels:
    return [
        series(
            "AI decisions over time",
            [decisions.BY_ACTION],
            Words(
                "mostly continue and process; slow_down where depths rise, speed_up where they are low.",
                "speed_up and slow_down in turns is oscillation: the publishers chase each other.",
            ),
            size=(14, 9),
            bars=True,
            points=120,
            shortest="1m",
        ),
        series(
            DEPTHS,
            [flow.DEPTHS],
            Words(
                "falls after a slow_down mark; a mark is a publisher's change of action.",
                "depths that don't care about the marks: the decisions don't help.",
            ),
            size=(10, 9),
            points=240,
            shortest="5s",
        ),
    ]


def _why() -> Panels:
    return [
        rows(
            "Recent agent reasoning",
            decisions.REASONING,
            Words(
                "reasons that name the measured figures; the newest not older than a minute.",
                "reasons that contradict the depths above: see the prompt in the transcript, or shadow the agent.",
            ),
            [*_REASON_COLUMNS, Column("reasoning", "reasoning")],
            size=(24, 12),
        )
    ]


def _quality() -> Panels:
    return [
        series(
            "Decision confidence scores",
            [decisions.CONFIDENCE],
            Words("steady, and lower where the situation is unclear.", "always near 1 it says nothing."),
            size=(8, 9),
            points=240,
            shortest="1m",
            bounds=(0, 1),
            bridged_min=5,
        ),
        series(
            "Token usage by agent",
            [cost.TOKENS_BY_AGENT],
            Words("even among instances.", "one agent far above the others asks too often, or with too long prompts."),
            size=(8, 9),
            bars=True,
            points=120,
            shortest="1m",
        ),
        series(
            "Decision latency",
            [decisions.LATENCY_P50, decisions.LATENCY_P95],
            Words(
                "the 95th percentile under 10 s (yellow).",
                "at 24 s (red) a publisher's decision is given up, and the rules decide.",
            ),
            size=(8, 9),
            points=180,
            shortest="1m",
            limits=((10000, YELLOW), (24000, RED)),
            bridged_min=5,
        ),
    ]


def _corrected() -> Panels:
    return [
        series(
            "Decisions by who took them",
            [decisions.BY_BRAIN],
            Words(
                "nearly all by the brain that was chosen.",
                "rules where claude was chosen means: no key, no answer or no budget; the reasons are in "
                "agent_reasoning.fallback_reason.",
            ),
            size=(8, 9),
            bars=True,
            points=120,
            shortest="1m",
        ),
        series(
            "Guard-rail adjustments",
            [decisions.GUARDED],
            Words("few.", "many: the model asks for what its bounds forbid; its prompt or the bounds are wrong."),
            size=(8, 9),
            bars=True,
            points=120,
            shortest="1m",
            decimals=0,
        ),
        series(
            "API failures by kind",
            [decisions.FAILURES],
            Words(
                "none; a few overloaded or timeouts are everyday.",
                "authentication or credit failures don't go away by themselves: the rules decide until you act.",
            ),
            size=(8, 9),
            bars=True,
            points=120,
            shortest="1m",
        ),
        rows(
            "What the guard rails changed",
            decisions.GUARDED_TABLE,
            Words(
                "an empty table.",
                "each row is a decision that was not carried out as given; the same words again and again point to "
                "one wrong bound or prompt.",
            ),
            [*_REASON_COLUMNS, Column("adjustment", "adjustment")],
            size=(24, 8),
        ),
    ]
