"""Board 4, Cost & Performance: what does it cost, is it worth its calls, how fast is the flow?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from .frame import Panels, Row, board
from .look import GREEN, ORANGE, RED, YELLOW
from .panels import Column, Part, Words, rows, series, tile
from .signals import cost, decisions, flow


def costs() -> Dashboard:
    """Give the board."""
    return board(
        "reasond-cost-performance",
        "Cost & Performance",
        "What the model costs, how often it is asked, and how fast the flow is. Budget days and hours are UTC.",
        [
            Row("The budget", _budget()),
            Row("Tokens and dollars", _spend()),
            Row("Calls", _calls()),
            Row("Performance", _performance()),
        ],
    )


def _budget() -> Panels:
    spent = "at 0 the rules decide until the hour or day (UTC) is over."
    return [
        tile(
            "Budget left this hour",
            cost.LEFT_HOUR,
            Words("over a fifth of the limit.", spent),
            base=RED,
            limits=((0.01, ORANGE), (1, GREEN)),
            size=(6, 4),
            none="nothing spent",
        ),
        tile(
            "Budget left today",
            cost.LEFT_DAY,
            Words("over a fifth of the limit.", spent),
            base=RED,
            limits=((0.01, ORANGE), (5, GREEN)),
            size=(6, 4),
            none="nothing spent",
        ),
        tile(
            "Projected daily spend",
            cost.PROJECTED,
            Words("under 80 % of the day's limit.", "beyond 100 % the budget is spent before the day is over."),
            parts=(
                Part("projected", "projected", "currencyUSD", 2),
                Part("of_limit", "of the day's limit", "percentunit", 0, GREEN, ((0.8, YELLOW), (1, RED))),
            ),
            size=(6, 4),
            none="nothing spent",
        ),
        tile(
            "Spent in the range",
            cost.SPENT,
            Words("what you would pay for the improvement on Agent Effectiveness.", "money."),
            size=(6, 4),
            none="nothing",
        ),
    ]


def _spend() -> Panels:
    return [
        series(
            "Total API tokens used (per agent, per hour)",
            [cost.TOKENS_PER_HOUR],
            Words("level from hour to hour.", "a step up is a longer prompt or more calls: more dollars every hour."),
            size=(12, 9),
            bars=True,
            points=120,
            shortest="1h",
        ),
        series(
            "Cost estimation",
            [cost.SPENT, cost.ESTIMATED, cost.WOULD_HAVE],
            Words(
                "spent at or under the estimate; its prices are the board's variables.",
                "spent above the estimate: a dearer model answers than you reckoned with.",
            ),
            size=(12, 9),
            points=240,
            shortest="1m",
        ),
        rows(
            "Cost by agent",
            cost.BY_AGENT,
            Words("alike among instances.", "one agent far above the others: see its settings and its prompts."),
            [
                Column("agent_id", "agent"),
                Column("decisions", "decisions"),
                Column("input_tokens", "input tokens"),
                Column("output_tokens", "output tokens"),
                Column("cost_usd", "cost", unit="currencyUSD", decimals=4),
                Column("usd_per_decision", "cost a decision", unit="currencyUSD", decimals=5),
                Column("estimated_usd", "estimated", unit="currencyUSD", decimals=4),
            ],
            size=(24, 9),
        ),
    ]


def _calls() -> Panels:
    return [
        series(
            "Decision frequency",
            [decisions.FREQUENCY],
            Words(
                "2 a minute for a publisher, 1 for the monitor, a few for a consumer under load.",
                "more: Claude is called too often; lengthen the decision period or sample fewer messages.",
            ),
            size=(12, 9),
            points=240,
            shortest="1m",
        ),
        series(
            "Failed API calls",
            [decisions.FAILURES],
            Words("none.", "attempts that fail may cost tokens and always cost time; see docs/troubleshooting.md."),
            size=(12, 9),
            bars=True,
            points=120,
            shortest="1m",
        ),
    ]


def _performance() -> Panels:
    return [
        series(
            "Messages published/consumed",
            [flow.PUBLISHED, flow.CONSUMED],
            Words("consumed keeps up.", "consumed below published for long: messages expire."),
            size=(12, 8),
            points=240,
            shortest="1m",
        ),
        series(
            "End-to-end time, 95th percentile",
            [flow.AGE_P95],
            Words(
                "under half of the time to live, 15 s by default.",
                "beyond the time to live messages are lost to it. Over a minute the line leaves the panel: "
                "publishers whose clock is wrong, or injected anomalies.",
            ),
            size=(12, 8),
            points=120,
            shortest="1m",
            bounds=(0, 60000),
            limits=((15000, YELLOW), (30000, RED)),
        ),
    ]
