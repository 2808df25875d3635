"""The broker's figures: the management API's, else ready counts marked as such, else an error that says both."""

import pytest

from reasond.adapters import statistics
from reasond.adapters.statistics import StatisticsWithFallback
from reasond.core.views import QueueSample
from reasond.errors import BrokerRefused, BrokerUnavailable


class Api:
    """A management API that answers or raises."""

    def __init__(self, answer):
        self.answer = answer

    def queue_samples(self, at_ns):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def here(function):
    function()


def test_management_answer_is_given_as_it_is_and_the_channel_is_left_alone():
    samples = (QueueSample(time_ns=7, queue="fictional", depth=3),)
    adapter = StatisticsWithFallback(Api(samples), lambda take: pytest.fail("asked"), here)

    assert adapter.queue_samples(7) == samples


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), BrokerRefused("no tag")], ids=["unavailable", "refused"])
def test_fallback_gives_ready_counts_marked_as_such_without_unknown_ones(error):
    counts = {"priority": 0, "fictional": 4, "non-fictional": None}
    adapter = StatisticsWithFallback(Api(error), lambda take: take(counts), here)

    found = adapter.queue_samples(9)

    assert [(s.queue, s.depth, s.ready, s.unacknowledged, s.source, s.time_ns) for s in found] == [
        ("fictional", 4, 4, None, "declare", 9),
        ("priority", 0, 0, None, "declare", 9),
    ]


@pytest.mark.parametrize(
    "ready_counts", [lambda take: take({}), lambda take: None], ids=["channel is down", "no answer in time"]
)
def test_neither_way_answering_is_an_error_that_keeps_the_first_reason(monkeypatch, ready_counts):
    monkeypatch.setattr(statistics, "DECLARE_DEADLINE_S", 0.01)
    adapter = StatisticsWithFallback(Api(BrokerUnavailable("no route")), ready_counts, here)

    with pytest.raises(BrokerUnavailable, match="no route.*passive declare"):
        adapter.queue_samples(1)


def test_counts_are_asked_for_on_the_loops_own_thread():
    posted = []
    adapter = StatisticsWithFallback(
        Api(BrokerUnavailable("away")), lambda take: take({"fictional": 1}), lambda f: (posted.append(f), f())
    )

    adapter.queue_samples(1)

    assert len(posted) == 1
