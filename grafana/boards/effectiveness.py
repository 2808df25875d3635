"""Board 3, Agent Effectiveness: did the decisions do what they were meant to?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from .frame import Panels, Row, board
from .look import ACTION_COLOURS, BRAIN_COLOURS, GREEN, GREY, RED, YELLOW
from .panels import Column, Words, rows, series, tile
from .signals import effects, flow, state

DEPTHS = "Queue depths and what was decided"
_HELPED = {"yes": GREEN, "no": RED, "nothing to move": GREY, "not judged yet": GREY}

_SAID = {"less": GREEN, "more": RED, "no measurable difference": GREY}


def effectiveness() -> Dashboard:
    """Give the board."""
    return board(
        "reasond-agent-effectiveness",
        "Agent Effectiveness",
        "Did the decisions do what they were meant to? docs/outcome.md says what counts as success.",
        [
            Row("Did slowing down work?", _rates()),
            Row("Were the anomalies real?", _anomalies()),
            Row("Did the response get better?", _responses()),
            Row("Who decides better?", _policies()),
        ],
        marked=(DEPTHS,),
    )


def _rates() -> Panels:
    return [
        rows(
            "AI decisions vs queue depth changes",
            effects.COMPARED,
            Words(
                "helped is yes in most rows that were judged; change below 0 after slow_down and pause.",
                "no after slow_down: the queue's trouble is elsewhere (slow handlers, a missing consumer). "
                "nothing to move: the queues were as good as empty, and no decision could have helped.",
            ),
            [
                Column("time", "time", width=190, unit="dateTimeAsIso"),
                Column("agent_id", "agent", width=110),
                Column("action", "action", width=100, colours=ACTION_COLOURS),
                Column("intended", "intended", width=200),
                Column("before", "waiting before", width=120),
                Column("after", "waiting after", width=110),
                Column("change", "change", width=80),
                Column("drain_before_s", "drain before", width=110, unit="s", decimals=1),
                Column("drain_after_s", "drain after", width=100, unit="s", decimals=1),
                Column("acted", "acted on", width=90),
                Column("helped", "helped", colours=_HELPED),
            ],
            size=(24, 11),
        ),
        series(
            DEPTHS,
            [flow.DEPTHS],
            Words(
                "falls after slow_down and pause marks; a mark is a publisher's change of action.",
                "rises on: the decisions come too late or do too little.",
            ),
            size=(8, 8),
            points=240,
            shortest="5s",
        ),
        series(
            "Share of decisions that helped",
            [effects.SUCCESS_OVER_TIME],
            Words(
                "well above what the same decisions reach in shadow (the table beside).",
                "under a half: the agents do harm or nothing; set them to shadow and read their reasoning.",
            ),
            size=(8, 8),
            points=60,
            shortest="5m",
            bounds=(0, 1),
            bridged_min=16,
            dots=True,
        ),
        rows(
            "Success, acted on and in shadow",
            effects.SUCCESS,
            Words(
                "difference well above 0.",
                "queues drift by themselves, so a placebo succeeds often: a share without its difference proves "
                "nothing. `reasond control AGENT shadow` makes the comparison.",
            ),
            [
                Column("action", "action", width=90, colours=ACTION_COLOURS),
                Column("difference", "difference", width=90),
                Column("acted", "acted on", width=100),
                Column("shadow", "in shadow", width=100),
                Column("judged", "judged", width=70),
                Column("judged_shadow", "in shadow", width=80),
            ],
            size=(8, 8),
        ),
    ]


def _anomalies() -> Panels:
    return [
        series(
            "Anomalies detected vs actual issues",
            [effects.INJECTED, effects.FLAGGED, effects.REJECTED, state.ISSUES],
            Words(
                "flags where something was injected, rejected or found, and nowhere else.",
                "flags alone are false alarms; injected alone were missed.",
            ),
            size=(12, 11),
            points=60,
            shortest="1m",
        ),
        tile(
            "Precision of the flags",
            effects.PRECISION,
            Words(
                "over 0.8 each.",
                "a flagged message is handled by nobody until somebody looks: false ones cost hands. "
                "No ground truth: nothing was injected, or nothing flagged.",
            ),
            base=RED,
            limits=((0.5, YELLOW), (0.8, GREEN)),
            size=(3, 11),
            none="no ground truth",
        ),
        tile(
            "Recall of the anomalies",
            effects.RECALL,
            Words("over 0.5: only sampled messages are seen by the model.", "missed anomalies were handled as good."),
            base=RED,
            limits=((0.25, YELLOW), (0.5, GREEN)),
            size=(3, 11),
            none="none injected",
        ),
        rows(
            "Injected anomalies by kind",
            effects.KINDS,
            Words("every kind is found sometimes.", "a kind with recall 0 is one that neither checks nor model see."),
            [
                Column("kind", "kind", width=150),
                Column("injected", "injected", width=80),
                Column("found", "found", width=70),
                Column("recall", "recall", width=80, unit="percentunit", decimals=0),
            ],
            size=(6, 11),
        ),
    ]


def _responses() -> Panels:
    return [
        rows(
            "Agent response time before/after decisions",
            effects.RESPONSES,
            Words(
                "end to end after is shorter than before for slow_down and pause.",
                "longer after every action: decisions come while the load rises, and don't turn it.",
            ),
            [
                Column("action", "action", width=110, colours=ACTION_COLOURS),
                Column("decisions", "decisions", width=90),
                Column("handling_before", "handling before", unit="ms", decimals=0),
                Column("handling_after", "handling after", unit="ms", decimals=0),
                Column("age_before", "end to end before", unit="ms", decimals=0),
                Column("age_after", "end to end after", unit="ms", decimals=0),
            ],
            size=(12, 8),
        ),
        series(
            "Response time, 95th percentile",
            [flow.AGE_P95, flow.HANDLING_P95],
            Words(
                "end to end under half of the time to live, 15 s by default.",
                "end to end far above handling (dashed) is waiting in the queue: slow the publishers or add consumers.",
            ),
            size=(12, 8),
            points=120,
            shortest="1m",
            bounds=(0, 60000),
            dashed="B",
        ),
    ]


def _policies() -> Panels:
    return [
        rows(
            "Experiment: the model against its control",
            effects.EXPERIMENT,
            Words(
                "less, with an interval that leaves 0 out: the treatment (first in the plan) has fewer waiting or "
                "expired. What it costs stands in the row of dollars.",
                "more: it does harm. no measurable difference: it earns nothing that shows. too little data: go on. "
                "No row: no experiment ran; `reasond experiment start` begins one.",
            ),
            [
                Column("plan", "experiment", width=190),
                Column("figure", "measure", width=140),
                Column("treated_mean", "treatment", width=100, decimals=3),
                Column("control_mean", "control", width=100, decimals=3),
                Column("difference", "difference", width=100, decimals=3),
                Column("interval_low", "95 % from", width=90, decimals=3),
                Column("interval_high", "to", width=90, decimals=3),
                Column("p", "p", width=70, decimals=3),
                Column("pairs", "pairs of blocks", width=110),
                Column("said", "what can be said", colours=_SAID),
            ],
            size=(24, 6),
        ),
        rows(
            "Hours compared by who decided",
            effects.BLOCKS,
            Words(
                "the model's hours drain faster or lose less than those under rules or static, at a price worth it.",
                "no better than the rules: it costs money and earns nothing. Hours differ in load, so few hours "
                "prove little.",
            ),
            [
                Column("decided_by", "decided by", colours=BRAIN_COLOURS),
                Column("hours", "hours"),
                Column("drain_s", "time to drain, mean", unit="s", decimals=1),
                Column("expired_per_window", "expired per analysis", decimals=2),
                Column("usd_per_hour", "spend an hour", unit="currencyUSD", decimals=3),
                Column("helped_per_hour", "decisions that helped an hour", decimals=1),
                Column("usd_per_improvement", "$ per decision that helped"),
            ],
            size=(24, 7),
        ),
    ]
