"""The tables of a report."""

from reasond.points import Row
from reasond.report import summary
from reasond.report.decisions import Spend, Tally, decision
from tests.unit.report.decided import row


def tally(*rows):
    found = Tally()
    found.add(decision(one) for one in rows)
    return found


def test_decisions_are_counted_by_agent_and_action():
    rows = [row(at, action="slow_down" if at < 2 else "continue") for at in range(5)]
    table = summary.by_agent(tally(*rows, row(9, "monitor-1", "healthy"), row(8, "consumer-2", "process")))

    assert table.rows == (
        ("publisher-1", "5", "continue 3, slow_down 2"),
        ("consumer-2", "1", "process 1"),
        ("monitor-1", "1", "healthy 1"),
    )


def test_many_agents_share_a_row_a_kind():
    many = [row(at, f"publisher-{at + 1}") for at in range(summary.MOST_AGENTS + 1)]
    found = tally(*many)

    assert summary.by_agent(found).rows == (("all publishers", "17", "continue 17"),)
    found.spends["publisher-1"].usd = 1.0
    assert [one[0] for one in summary.costs(found.spends, 1.0).rows] == [
        "all publishers",
        "all",
        "an hour",
        "projected a day",
    ]


def test_outcomes_tell_the_share_and_why_some_were_not_judged():
    table = summary.outcomes(
        tally(
            row(1, outcome_success=True),
            row(2, outcome_success=True),
            row(3, outcome_success=False),
            row(4, outcome_missing="second_change"),
            row(5),
        )
    )

    assert table.rows == (("publisher", "continue", "3", "2", "67 %", "not yet 1, second change 1"),)


def test_cost_is_projected():
    table = summary.costs({"publisher-1": Spend(3, 600, 150, 0.5), "monitor-1": Spend(1, 0, 0, 0.25, 2.0)}, 0.5)

    rows = {one[0]: one[1:] for one in table.rows}
    assert rows["all"] == ("4", "600", "150", "$0.7500", "$2.0000")
    assert rows["an hour"][3:] == ("$1.50", "$4.00")
    assert rows["projected a day"][3:] == ("$36.00", "$96.00")


def test_no_model_asked_is_one_row():
    table = summary.costs({"publisher-1": Spend(3)}, 1.0)

    assert len(table.rows) == 1 and table.note == "No model was asked."


def test_the_monitor_tells_its_newest_analysis_and_the_course_of_the_score():
    def health(at, score, **fields):
        given = {"status": "healthy", "system_health_score": score, "issues": "[]", **fields}
        return Row("system_health", {"agent_id": "monitor-1"}, given, at)

    table = summary.monitor(
        [
            health(1, 90, alerts_raised=1),
            health(2, 40, status="critical"),
            health(3, 80, issues='["deep"]', suggestions="not JSON", ai_analysis_text="It drains."),
        ]
    )

    rows = dict(table.rows)
    assert rows["status"] == "healthy at the end; over the time: healthy 2, critical 1"
    assert rows["score"] == "first 90, worst 40, last 80 of 100"
    assert (rows["issues at the end"], rows["suggestions"]) == ("deep", "not JSON")
    assert (rows["alerts raised"], rows["newest analysis"]) == ("1", "It drains.")


def test_no_analysis_is_said():
    assert summary.monitor([]).rows == (("status", "no analysis in this time"),)
