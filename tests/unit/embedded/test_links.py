"""What only the embedded links have: virtual time, several lost at once. The rest is the contract's."""

from reasond import topology
from reasond.core.effects import Settle
from tests.contract.broker_beds import EmbeddedBed, publish
from tests.contract.test_broker_links import a_message, opened


def test_event_is_told_in_the_next_turn_never_inside_the_call() -> None:
    bed = EmbeddedBed()
    links, seen = opened(bed)
    links.publish(publish("1"))
    assert seen.confirmed == []
    bed.let_pass(0)
    assert seen.confirmed == [("1", "ok")]


def test_broker_that_stays_down_costs_one_try_a_second() -> None:
    bed = EmbeddedBed()
    links, seen = opened(bed)
    bed.kill()
    bed.let_pass(3600)
    assert seen.links[-1] == ("publish", False, False)
    assert links.problem
    bed.start()
    bed.let_pass(1.5)
    assert seen.links[-1] == ("publish", True, False) and links.problem == ""


def test_two_consumers_lost_together_get_everything_back_once() -> None:
    # Given
    bed = EmbeddedBed()
    _, first = opened(bed, consume=True, prefetch=2)
    _, second = opened(bed, consume=True, prefetch=2)
    for number in range(6):
        bed.put(topology.FICTIONAL, a_message(str(number)))
    bed.let_pass(0)
    assert (len(first.deliveries), len(second.deliveries)) == (2, 2)
    # When
    bed.kill()
    assert bed.broker.conserved()
    bed.start()
    bed.let_pass(2)
    # Then
    again = [delivery.body for delivery in first.deliveries[2:] + second.deliveries[2:]]
    assert len(set(again)) == 4 and bed.ready(topology.FICTIONAL) == 2
    assert bed.broker.conserved()


def test_settle_in_the_turn_of_the_loss_is_not_lost_silently() -> None:
    bed = EmbeddedBed()
    links, seen = opened(bed, consume=True)
    bed.put(topology.FICTIONAL, a_message())
    bed.let_pass(0)
    links.settle(Settle((seen.deliveries[0].receipt,)))
    bed.kill()
    bed.start()
    bed.let_pass(2)
    assert [delivery.redelivered for delivery in seen.deliveries] == [False, True]
