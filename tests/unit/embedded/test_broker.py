"""The embedded broker as a model: whatever happens to it, no message is lost or doubled."""

from typing import Any, Dict, List

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reasond import topology
from reasond.core.effects import Now
from reasond.embedded.broker import RATE_WINDOW_S, Channel, EmbeddedBroker, Stored
from reasond.errors import BrokerUnavailable, TopologyConflict

WALL_NS = 1_800_000_000_000_000_000


def at(mono: float) -> Now:
    return Now(mono, WALL_NS + int(mono * 1e9))


def message(text: str, key: str = topology.FICTIONAL, ttl_ms: Any = None) -> Stored:
    return Stored(text.encode(), topology.EXCHANGE, key, expiration_ms=None if ttl_ms is None else str(ttl_ms))


def bodies(broker: EmbeddedBroker, now: Now, queue: str) -> List[str]:
    return [stored.body.decode() for stored in broker.messages(now, queue)]


class Flow(RuleBasedStateMachine):
    """Publish, consume, settle, expire, lose connections, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.mono = 0.0
        self.broker = EmbeddedBroker(at(0))
        self.sent = 0
        self.acked: List[str] = []
        self.channels: List[Channel] = []
        self.held: Dict[int, Dict[int, str]] = {}

    @rule(key=st.sampled_from(topology.MAIN_QUEUES), ttl_ms=st.one_of(st.none(), st.integers(0, 3000)))
    def publish(self, key: str, ttl_ms: Any) -> None:
        self.sent += 1
        assert self.broker.publish(at(self.mono), message(str(self.sent), key, ttl_ms)) == "ok"

    @rule(prefetch=st.integers(1, 4), queue=st.sampled_from(topology.MAIN_QUEUES))
    def consume(self, prefetch: int, queue: str) -> None:
        held: Dict[int, str] = {}

        def take(tag: int, name: str, stored: Stored) -> None:
            assert tag not in held
            held[tag] = stored.body.decode()
            assert len(held) <= prefetch

        channel = self.broker.channel(take, lambda name: None)
        self.held[id(channel)] = held
        self.channels.append(channel)
        assert channel.consume(at(self.mono), queue, prefetch)

    @precondition(lambda self: self.channels)
    @rule(data=st.data())
    def settle(self, data: Any) -> None:
        channel = data.draw(st.sampled_from(self.channels))
        held = self.held[id(channel)]
        if held:
            tag = data.draw(st.sampled_from(sorted(held)))
            self.acked.append(held.pop(tag))
            channel.ack(at(self.mono), [tag])

    @precondition(lambda self: self.channels)
    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        channel = data.draw(st.sampled_from(self.channels))
        self.channels.remove(channel)
        self.held.pop(id(channel)).clear()
        channel.close(at(self.mono))

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.mono += seconds

    @invariant()
    def every_message_is_in_exactly_one_place(self) -> None:
        now = at(self.mono)
        ready = [
            body for queue in topology.MAIN_QUEUES + (topology.EXPIRED,) for body in bodies(self.broker, now, queue)
        ]
        held = [body for tags in self.held.values() for body in tags.values()]
        assert sorted(ready + held + self.acked, key=int) == [str(number) for number in range(1, self.sent + 1)]
        assert self.broker.conserved()

    @invariant()
    def samples_are_of_this_very_moment(self) -> None:
        # Twice: what the first look found must not outlive the next event.
        for _ in range(2):
            for sample in self.broker.queue_samples(at(self.mono).wall_ns):
                assert (sample.ready, sample.unacknowledged) == self.broker.left(sample.queue)

    @invariant()
    def queues_keep_their_order(self) -> None:
        for queue in topology.MAIN_QUEUES:
            order = [int(body) for body in bodies(self.broker, at(self.mono), queue)]
            assert order == sorted(order)


Flow.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
TestFlow = Flow.TestCase


def test_expired_at_the_head_only_and_in_the_order_of_time() -> None:
    # Given
    broker = EmbeddedBroker(at(0))
    broker.publish(at(0), message("slow", ttl_ms=5000))
    broker.publish(at(0), message("quick", ttl_ms=1000))
    broker.publish(at(0), message("other", topology.PRIORITY, ttl_ms=3000))
    # When, then
    assert bodies(broker, at(2), topology.EXPIRED) == []
    assert bodies(broker, at(6), topology.EXPIRED) == ["other", "slow", "quick"]
    assert broker.counters(topology.FICTIONAL).expired == 2


def test_expiry_looked_at_late_bears_the_time_at_which_it_happened() -> None:
    broker = EmbeddedBroker(at(0))
    broker.publish(at(0), message("1", ttl_ms=1000))
    (dead,) = broker.messages(at(3600), topology.EXPIRED)
    assert dead.headers["x-death"][0]["time"].timestamp() == WALL_NS // 10**9 + 1


def test_a_policy_of_higher_priority_takes_the_dead_lettering_away() -> None:
    broker = EmbeddedBroker(at(0))
    broker.set_policy("stranger", "^fict", {"max-length": 5}, topology.POLICY_PRIORITY + 1)
    broker.publish(at(0), message("1", ttl_ms=1))
    assert bodies(broker, at(1), topology.EXPIRED) == []
    assert broker.conserved()


def test_consumers_of_one_queue_are_served_in_turn() -> None:
    broker = EmbeddedBroker(at(0))
    got: Dict[str, List[str]] = {"a": [], "b": []}
    for name in got:
        channel = broker.channel(lambda tag, queue, stored, name=name: got[name].append(stored.body.decode()), print)
        channel.consume(at(0), topology.FICTIONAL, 10)
    for number in range(4):
        broker.publish(at(0), message(str(number)))
    assert got == {"a": ["0", "2"], "b": ["1", "3"]}


def test_full_queue_without_refusal_drops_its_head() -> None:
    broker = EmbeddedBroker(at(0), bare=True)
    broker.declare_queue(at(0), "short", {"x-max-length": 2})
    for text in ("1", "2", "3"):
        assert broker.publish(at(0), Stored(text.encode(), "", "short")) == "ok"
    assert bodies(broker, at(0), "short") == ["2", "3"]
    assert broker.counters("short").dropped == 1


def test_declaring_with_other_arguments_is_a_conflict() -> None:
    broker = EmbeddedBroker(at(0))
    broker.declare_queue(at(0), topology.FICTIONAL)
    with pytest.raises(TopologyConflict):
        broker.declare_queue(at(0), topology.FICTIONAL, {"x-max-length": 1})


def test_samples_count_ready_unacknowledged_consumers_and_rates() -> None:
    # Given
    broker = EmbeddedBroker(at(0))
    channel = broker.channel(lambda tag, queue, stored: None, lambda name: None)
    channel.consume(at(0), topology.FICTIONAL, 3)
    for number in range(20):
        broker.publish(at(number / 4), message(str(number)))
    channel.ack(at(5), (1, 2))
    # When
    samples = {sample.queue: sample for sample in broker.queue_samples(at(5).wall_ns)}
    # Then
    found = samples[topology.FICTIONAL]
    assert (found.depth, found.ready, found.unacknowledged, found.consumers) == (18, 15, 3, 1)
    assert found.publish_rate == pytest.approx(20 / RATE_WINDOW_S)
    assert found.ack_rate == pytest.approx(2 / RATE_WINDOW_S)
    assert samples[topology.PRIORITY].publish_rate == 0


def test_samples_of_a_broker_that_is_down_are_refused() -> None:
    broker = EmbeddedBroker(at(0))
    broker.go_down()
    with pytest.raises(BrokerUnavailable):
        broker.queue_samples(at(1).wall_ns)


def test_purge_drops_what_is_ready_and_counts_it() -> None:
    broker = EmbeddedBroker(at(0))
    broker.publish(at(0), message("1"))
    assert broker.purge(at(0), topology.FICTIONAL) == 1
    assert bodies(broker, at(0), topology.FICTIONAL) == [] and broker.conserved()
