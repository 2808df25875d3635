"""What a host knows without any service."""

import json

from reasond.adapters.state import STOP_SPENDING, StateDir
from reasond.core.agent import Control
from reasond.core.budget import DAY_NS, HOUR_NS
from reasond.operator.host import known_agents, look, orders_in_words, standing

NOW_NS = 1_790_000_000 * 10**9


def test_agents_with_their_process_orders_spend_and_spool(tmp_path, examined):
    base = tmp_path / "state"
    state = StateDir(base / "publisher-1")
    state.lock()
    state.give_control(Control(serial=1, hold=True))
    spent = {"hour": NOW_NS // HOUR_NS, "day": NOW_NS // DAY_NS, "hour_nano_usd": 10**9, "day_nano_usd": 3 * 10**9}
    (base / "publisher-1" / "budget.json").write_text(json.dumps(spent))
    (base / "publisher-1" / "spool").mkdir()
    (base / "publisher-1" / "spool" / "1.lp").write_bytes(b"x" * 10)
    StateDir(base / "consumer-2")
    (base / STOP_SPENDING).touch()

    here = look(examined, NOW_NS, tmp_path / "no systemd")

    one = here.agents["publisher-1"]
    assert one.pid and one.orders.hold and one.spent == (1.0, 3.0) and one.spool_bytes == 10
    assert here.agents["consumer-2"].pid is None
    assert here.spending_stopped and here.units == {}


def test_looking_makes_no_directory(tmp_path, examined):
    assert look(examined, NOW_NS, tmp_path / "no systemd").agents == {}
    assert list(tmp_path.iterdir()) == []


def test_orders_are_told_with_what_ends_them():
    words = orders_in_words(Control(hold=True, shadow=True))

    assert "resume" in words[0] and "act" in words[1] and orders_in_words(Control()) == []


def test_order_of_an_experiment_wins_over_the_setting():
    assert standing("p", Control(), "claude,static:60m", NOW_NS).block is not None
    ended = standing("p", Control(switchback=""), "claude,static:60m", NOW_NS)
    assert (ended.plan, ended.block) == ("", None)


def test_known_agents_are_those_here_and_those_expected(tmp_path, examined):
    StateDir(tmp_path / "state" / "publisher-9")

    assert known_agents(examined) == sorted([*examined.settings.monitor.expected_agents, "publisher-9"])
