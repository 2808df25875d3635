"""A section's chart as Plotly's JSON."""

from msgspec.structs import replace

from reasond.report import chart
from reasond.report.curves import ALL_QUEUES, DEAD, DEPTH, RATE, SET_RATE
from reasond.report.data import Band, Decision, Graph, Line, Section

SECOND = 10**9
HOSTILE = "<script>&</script>"


def mark(at, agent_id="publisher-1", action="slow_down", **more):
    kind = agent_id.rpartition("-")[0]
    return Decision(time_ns=at * SECOND, agent_id=agent_id, kind=kind, action=action, brain="rules", **more)


def section(marks=(), bands=(), from_zero=True):
    times = tuple(at * SECOND for at in (100, 110, 120))
    graphs = (
        Graph(DEPTH, (Line(ALL_QUEUES, times, (0.0, 10.0, 20.0), faint=True),), ALL_QUEUES),
        Graph(DEAD, ()),
        Graph(RATE, (Line(SET_RATE, times, (54.0, 50.0, 40.0), step=True),), SET_RATE),
    )
    return Section("", 100 * SECOND, 120 * SECOND, graphs, tuple(marks), (), 9, 1, tuple(bands), from_zero=from_zero)


def traces(found, name):
    return [trace for trace in found["data"] if trace["name"] == name]


def test_graphs_share_the_time_axis_and_one_without_lines_is_left_out():
    found = chart.figure(section([mark(105)]))

    assert {trace["yaxis"] for trace in found["data"]} == {"y1", "y2", "y3"}
    assert [key for key in found["layout"] if key.startswith("yaxis")] == ["yaxis", "yaxis2", "yaxis3"]
    assert all("xaxis" not in trace for trace in found["data"])
    domains = [found["layout"][name]["domain"] for name in ("yaxis", "yaxis2", "yaxis3")]
    assert domains[0][1] == 1 and domains[2][0] == 0
    assert domains[0][0] > domains[1][1] and domains[1][0] > domains[2][1]


def test_a_publishers_mark_stands_on_its_curves_and_in_its_lane_and_refers_to_one_text():
    found = chart.figure(section([mark(105), mark(115, "consumer-1", "batch")]))

    on_depth, on_rate, in_lane = traces(found, "slow_down")
    assert (on_depth["y"], on_rate["y"], in_lane["y"]) == ([5.0], [54.0], [0])
    assert on_depth["texts"] == on_rate["texts"] == in_lane["texts"] == [0]
    (batch,) = traces(found, "batch")
    assert (batch["y"], batch["texts"]) == ([1], [1])
    assert found["layout"]["yaxis3"]["ticktext"] == ["publisher-1", "consumer-1"]
    assert "consumer-1" in found["texts"][1]


def test_a_time_since_the_start_is_no_year():
    found = chart.figure(section())

    line = found["data"][0]
    assert line["x"][0] == chart.ZERO_MS and line["x"][1] - line["x"][0] == 10_000
    assert chart.figure(section(from_zero=False))["data"][0]["x"][0] == 100_000


def test_marks_in_shadow_are_hollow():
    symbols = traces(chart.figure(section([mark(105), mark(106, acted=False)])), "slow_down")[0]["marker"]["symbol"]

    assert symbols == ["triangle-down", "triangle-down-open"]


def test_phases_are_shaded_and_named_where_there_is_room():
    bands = [Band(at * SECOND, (at + 1) * SECOND, "a rather long name") for at in (100, 101, 102, 115)]
    layout = chart.figure(section(bands=bands))["layout"]

    assert len(layout["shapes"]) == 4
    named = [one for one in layout["annotations"] if one["text"] == "a rather long name"]
    assert [one["yshift"] for one in named] == [15, 30, 15]


def test_of_many_agents_those_with_few_marks_share_a_lane():
    marks = [mark(105, f"publisher-{n}") for n in range(1, 13) for _ in range(n)]
    found = chart.figure(section(marks))

    names = found["layout"]["yaxis3"]["ticktext"]
    assert len(names) == chart.MAX_LANES and names[-1] == "others" and "publisher-12" in names
    assert max(traces(found, "slow_down")[-1]["y"]) == chart.MAX_LANES - 1


def test_texts_that_plotly_draws_are_escaped():
    bands = [Band(100 * SECOND, 120 * SECOND, HOSTILE)]
    given = section([mark(105, HOSTILE, HOSTILE, reasoning=HOSTILE)], bands)
    given = replace(given, graphs=(Graph(HOSTILE, (Line(HOSTILE, (100 * SECOND,), (1.0,)),), HOSTILE),))

    assert HOSTILE not in repr(chart.figure(given))
    assert HOSTILE not in chart.legend(given)
    assert "&lt;script&gt;" in chart.figure(given)["texts"][0]


def test_the_legend_names_lines_and_marks():
    told = chart.legend(section([mark(105), mark(106, action="odd", acted=False)]))

    assert ALL_QUEUES in told and "slow_down" in told and "odd" in told and "hollow: in shadow" in told
