"""The observer composes views from two ports and answers whatever they do."""

import pytest

from reasond.core.effects import Look, ViewFailed
from reasond.core.views import Activity, DepthsView, Minutes, Peer, QueueSample, RateView, WindowView
from reasond.errors import BrokerRefused, BrokerUnavailable, StoreRefused, StoreUnavailable
from reasond.observer import RATE_WINDOW_NS, Observer

pytestmark = pytest.mark.unit

S = 1_000_000_000
NOW = 1_800_000_000 * S
PEERS = (Peer("publisher-1", 3.0, "continue", 5, 10), Peer("publisher-2", 9.0, "slow_down", 8, 16))


def sample(age_s, depth=4, queue="fictional"):
    return QueueSample(NOW - int(age_s * S), queue, depth)


class Store:
    def __init__(self, samples=(), error=None, peers=PEERS, peers_error=None):
        self.samples, self.error, self.found, self.peers_error = samples, error, peers, peers_error
        self.asked = []

    def queue_samples(self, start_ns, stop_ns):
        self.asked.append(("queue_samples", start_ns, stop_ns))
        if self.error is not None:
            raise self.error
        return tuple(s for s in self.samples if start_ns <= s.time_ns < stop_ns)

    def peers(self, agent_type, start_ns, stop_ns):
        self.asked.append(("peers", agent_type, stop_ns))
        if self.peers_error is not None:
            raise self.peers_error
        return self.found

    def activity(self, start_ns, stop_ns):
        if self.error is not None:
            raise self.error
        return Activity(start_ns, stop_ns, tokens=7)

    def minutes(self, start_ns, stop_ns):
        if self.error is not None:
            raise self.error
        return Minutes({"depth": {start_ns: 3.0}})

    def system_spend(self, at_ns):
        return 0.0, 0.0


class Statistics:
    def __init__(self, samples=(), error=None):
        self.samples, self.error, self.calls = samples, error, 0

    def queue_samples(self, at_ns):
        self.calls += 1
        if self.error is not None:
            raise self.error
        return self.samples


def observer(store, statistics):
    return Observer(store, statistics, sampling_period_s=5.0, agent_id="publisher-1", agent_type="publisher")


def rate(store, statistics):
    return observer(store, statistics).look(Look("r", "rate"), NOW)


OWN = (QueueSample(NOW, "fictional", 9),)


def test_rate_with_fresh_samples_comes_from_the_store_alone():
    store, statistics = Store((sample(100), sample(9.9))), Statistics(OWN)

    view = rate(store, statistics)

    assert view == RateView((sample(100), sample(9.9)), "influxdb", PEERS[1:])
    assert statistics.calls == 0
    assert store.asked[0] == ("queue_samples", NOW - RATE_WINDOW_NS, NOW + 1)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param((), id="none"),
        pytest.param((sample(10.1),), id="older-than-two-periods"),
        pytest.param((sample(1, depth=None),), id="unknown-depth"),
        pytest.param((sample(1, queue="books.expired"),), id="no-main-queue"),
    ],
)
def test_rate_with_stale_samples_comes_from_the_broker_with_the_peers(samples):
    assert rate(Store(samples), Statistics(OWN)) == RateView(OWN, "broker", PEERS[1:])


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreRefused("401")], ids=["away", "refused"])
def test_rate_without_the_store_comes_from_the_broker_and_asks_the_store_no_more(error):
    store = Store(error=error)

    assert rate(store, Statistics(OWN)) == RateView(OWN, "broker", ())
    assert [name for name, *_ in store.asked] == ["queue_samples"]


@pytest.mark.parametrize(
    "statistics",
    [
        pytest.param(Statistics(error=BrokerUnavailable("away")), id="away"),
        pytest.param(Statistics(error=BrokerRefused("401")), id="refused"),
        pytest.param(Statistics(), id="no-queue"),
        pytest.param(Statistics((sample(0, depth=None),)), id="unknown"),
    ],
)
def test_rate_without_anyone_to_answer_is_unknown_and_has_no_samples(statistics):
    assert rate(Store((sample(60),)), statistics) == RateView((), "unknown", PEERS[1:])


def test_rate_without_peers_still_has_its_samples():
    view = rate(Store((sample(1),), peers_error=StoreUnavailable("away")), Statistics())

    assert view == RateView((sample(1),), "influxdb", ())


def test_broker_depths_are_the_brokers():
    assert observer(Store(), Statistics(OWN)).look(Look("r", "broker_depths"), NOW) == DepthsView(OWN)


def test_depth_window_is_the_range_that_was_asked_for():
    look = Look("r", "depth_window", NOW - 30 * S, NOW - 10 * S)

    view = observer(Store((sample(31), sample(30), sample(10))), Statistics()).look(look, NOW)

    assert view == WindowView((sample(30),))


def test_activity_is_the_stores():
    view = observer(Store(), Statistics()).look(Look("r", "activity", 1, 2), NOW)

    assert view == Activity(1, 2, tokens=7)


def test_minutes_are_the_stores():
    view = observer(Store(), Statistics()).look(Look("r", "minutes", 1, 2), NOW)

    assert view == Minutes({"depth": {1: 3.0}})


@pytest.mark.parametrize("view", ["broker_depths", "depth_window", "activity", "minutes"])
def test_view_whose_port_fails_says_why(view):
    failing = observer(Store(error=StoreUnavailable("gone away")), Statistics(error=BrokerUnavailable("gone away")))

    assert failing.look(Look("r", view), NOW) == ViewFailed("gone away")


@pytest.mark.parametrize("view", ["rate", "broker_depths", "depth_window", "activity", "minutes", "no-such-view"])
def test_view_with_a_fault_in_a_port_is_an_answer_all_the_same(view):
    broken = observer(Store(error=ZeroDivisionError("oops")), Statistics(error=ZeroDivisionError("oops")))

    answer = broken.look(Look("r", view), NOW)

    assert isinstance(answer, ViewFailed)
    assert "Error" in answer.reason
