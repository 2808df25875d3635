"""Policies compared over the same seeds: paired differences with bootstrap intervals, and a verdict in words.

Runs of one seed meet the same load and the same messages, so that a difference within a pair is the policies'
own. The interval is the percentile bootstrap's (Efron and Tibshirani, An Introduction to the Bootstrap, 13.3).
"""

import math
import random
from typing import Callable, Dict, List, Literal, Optional, Sequence, Tuple

from msgspec import Struct

from reasond.simulation.measures import Figures, mean
from reasond.simulation.run import Result

RESAMPLES = 4000
CONFIDENCE = 0.95
LEAST_SEEDS = 5
"""With fewer pairs there is no interval worth its name."""
BOOTSTRAP_SEED = 1

Word = Literal["better", "worse", "no measurable difference", "different", "too few seeds"]


class Measure(Struct, frozen=True):
    """One figure that policies are compared by; `better` is -1 where less is better, 1 where more is, else 0."""

    name: str
    title: str
    unit: str
    better: int
    of: Callable[[Figures], float]
    decimals: int = 1


def _per_hour(value: Callable[[Figures], float]) -> Callable[[Figures], float]:
    return lambda figures: value(figures) * 60 / figures.minutes


MEASURES: Tuple[Measure, ...] = (
    Measure("overload", "time in overload", "min/h", -1, _per_hour(lambda f: f.overload_min)),
    Measure("lost", "expired or rejected", "messages/h", -1, _per_hour(lambda f: f.expired + f.rejected)),
    Measure("late", "handled late", "messages/h", -1, _per_hour(lambda f: f.late)),
    Measure("depth_mean", "mean depth", "messages", -1, lambda f: f.mean_depth),
    Measure("depth_p95", "p95 depth", "messages", -1, lambda f: f.p95_depth),
    Measure("latency_p95", "p95 latency", "s", -1, lambda f: f.p95_latency_s),
    Measure("in_time", "handled in time", "messages/min", 1, lambda f: f.throughput_per_min - f.late / f.minutes),
    Measure("throughput", "throughput", "messages/min", 1, lambda f: f.throughput_per_min),
    Measure("oscillation", "oscillation", "turns/h", -1, lambda f: f.oscillation_per_h),
    Measure("decisions", "decisions", "1/h", 0, _per_hour(lambda f: f.decisions)),
    Measure("fallbacks", "of them by fallback", "1/h", 0, _per_hour(lambda f: f.fallbacks)),
    Measure("tokens", "tokens", "1/h", 0, _per_hour(lambda f: f.tokens), 0),
    Measure("usd", "cost", "$/h", -1, _per_hour(lambda f: f.usd), 3),
)
"""The first one is what a verdict is about: what the agents are there for."""


class Difference(Struct, frozen=True):
    """One measure of one policy minus that of another: the mean over the pairs, and its interval where there is one."""

    measure: str
    mean: float
    low: Optional[float]
    high: Optional[float]
    word: Word


class Pair(Struct, frozen=True):
    """Two policies compared: `policy` against `baseline`, by every measure."""

    policy: str
    baseline: str
    differences: Tuple[Difference, ...]
    verdict: str


class Comparison(Struct, frozen=True):
    """One scenario under several policies."""

    scenario: str
    minutes: float
    seeds: Tuple[int, ...]
    means: Dict[str, Dict[str, float]]
    pairs: Tuple[Pair, ...]


def compare(results: Sequence[Result], policies: Sequence[str]) -> Comparison:
    """Compare one scenario's results; every policy must have run with the same seeds.

    Each policy is compared with each one named after it. Raises ValueError for runs that don't pair up.
    """
    runs: Dict[str, Dict[int, Figures]] = {policy: {} for policy in policies}
    for result in results:
        runs[result.policy][result.seed] = result.figures
    seeds = tuple(sorted(runs[policies[0]]))
    if any(tuple(sorted(found)) != seeds for found in runs.values()) or len({r.scenario for r in results}) != 1:
        raise ValueError("every policy needs the same seeds, all of one scenario")
    means = {
        policy: {m.name: mean([m.of(found[seed]) for seed in seeds]) for m in MEASURES}
        for policy, found in runs.items()
    }
    pairs = tuple(
        _pair(policy, baseline, runs[policy], runs[baseline], seeds)
        for number, policy in enumerate(policies)
        for baseline in policies[number + 1 :]
    )
    return Comparison(results[0].scenario, results[0].figures.minutes, seeds, means, pairs)


def interval(differences: Sequence[float], rng: random.Random) -> Tuple[float, float]:
    """Give the bootstrap's interval for the mean of paired differences."""
    count = len(differences)
    if min(differences) == max(differences):
        return differences[0], differences[0]
    means = sorted(math.fsum(rng.choices(differences, k=count)) / count for _ in range(RESAMPLES))
    tail = (1 - CONFIDENCE) / 2
    return means[int(tail * RESAMPLES)], means[min(RESAMPLES - 1, math.ceil((1 - tail) * RESAMPLES) - 1)]


def _pair(
    policy: str, baseline: str, mine: Dict[int, Figures], theirs: Dict[int, Figures], seeds: Sequence[int]
) -> Pair:
    rng = random.Random(BOOTSTRAP_SEED)
    differences = tuple(
        _difference(measure, [measure.of(mine[seed]) - measure.of(theirs[seed]) for seed in seeds], rng)
        for measure in MEASURES
    )
    return Pair(policy, baseline, differences, verdict(policy, baseline, differences))


def _difference(measure: Measure, paired: Sequence[float], rng: random.Random) -> Difference:
    if len(paired) < LEAST_SEEDS:
        return Difference(measure.name, mean(paired), None, None, "too few seeds")
    low, high = interval(paired, rng)
    word: Word = "no measurable difference"
    if low > 0 or high < 0:
        word = "different"
        if measure.better:
            word = "better" if (low > 0) == (measure.better > 0) else "worse"
    return Difference(measure.name, mean(paired), low, high, word)


def verdict(policy: str, baseline: str, differences: Sequence[Difference]) -> str:
    """Say in words how a policy stands against another: what counts first, then what else it gains and costs."""
    first, others = differences[0], differences[1:]
    if first.low is None or first.high is None:
        return f"{policy} against {baseline}: too few seeds to tell; at least {LEAST_SEEDS} are needed."
    measure = MEASURES[0]
    told = f"{measure.title} {first.mean:+.1f} {measure.unit} (95 % interval {first.low:+.1f} to {first.high:+.1f})"
    if first.word == "no measurable difference":
        parts = [f"{policy} against {baseline}: no measurable difference in {told}."]
    else:
        parts = [f"{policy} is {first.word} than {baseline}: {told}."]
    for word, intro in (("better", "Better also"), ("worse", "Worse")):
        named = [title(difference.measure) for difference in others if difference.word == word]
        if named:
            parts.append(f"{intro}: {', '.join(named)}.")
    return " ".join([*parts, *_price(first, others[-1])])


def measure_of(name: str) -> Measure:
    """Give a measure by its name."""
    return next(measure for measure in MEASURES if measure.name == name)


def title(name: str) -> str:
    """Give a measure's title by its name."""
    return measure_of(name).title


def _price(first: Difference, usd: Difference) -> List[str]:
    """Say what an improvement costs; the cost is the last of the measures."""
    if usd.mean <= 0 or first.word == "no measurable difference":
        return [f"It costs ${usd.mean:.2f} more an hour."] if usd.mean > 0 else []
    if first.word != "better":
        return []
    return [f"A minute of overload avoided costs ${usd.mean / -first.mean:.3f}."]
