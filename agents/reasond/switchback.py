"""Switchback plans: which block a time lies in, and whether the model decides in it.

Time is cut into blocks, two blocks make a pair, and chance says which of the pair is the treatment's. Which block it
is follows from the plan and the clock alone, so that no agent has to be told by another. Used by the settings, the
publisher's core, the analysis and the command.
"""

import hashlib
import re
from typing import Optional

from msgspec import Struct

CONTROLS = ("rules", "static")
"""What may decide in the control blocks: the rules, or nobody (the rules then decide in shadow)."""
BRAINS = ("claude", "dry-run", "rules")
"""What may decide in the treatment's blocks, beside brains that other packages enter."""
WASHOUT_PART = 1 / 3
"""Of a block that is cut: 20 of 60 minutes, in which a queue of the length that a TTL allows has long drained."""
LEAST_BLOCK_S, MOST_BLOCK_S = 600, 86400
_TEXT = re.compile(r"([A-Za-z][\w.-]*),([a-z-]+):([0-9]+)m(?::([0-9]+))?\Z")


class Switchback(Struct, frozen=True):
    """The plan: who decides in the treatment's blocks and who in the control's, how long they are, and the seed."""

    treatment: str
    control: str
    block_s: int
    seed: int = 1


class Block(Struct, frozen=True):
    """A block of the plan: its number since 1970, whose it is, and when it begins, counts and ends (UTC ns)."""

    number: int
    arm: str
    treated: bool
    begin_ns: int
    counts_ns: int
    end_ns: int


def parse(text: str) -> Optional[Switchback]:
    """Read `TREATMENT,CONTROL:MINUTESm[:SEED]`, such as `claude,static:60m`; empty is no experiment.

    The treatment is any brain's name: whether there is such a one, who reads the text must see. Raises ValueError that
    says what is wrong.
    """
    if not text:
        return None
    match = _TEXT.match(text)
    if match is None:
        raise ValueError("must look like claude,static:60m (treatment, control, minutes of a block)")
    treatment, control, minutes, seed = match.groups()
    if control not in CONTROLS or treatment in (control, "static"):
        raise ValueError(f"needs a brain ({', '.join(BRAINS)}) against another of {', '.join(CONTROLS)}")
    if not LEAST_BLOCK_S <= 60 * int(minutes) <= MOST_BLOCK_S:
        raise ValueError(f"a block lasts {LEAST_BLOCK_S // 60} to {MOST_BLOCK_S // 60} minutes")
    return Switchback(treatment, control, 60 * int(minutes), int(seed or 1))


def block_at(plan: Switchback, wall_ns: int) -> Block:
    """Give the block that a time (UTC ns) lies in."""
    length_ns = plan.block_s * 10**9
    number = wall_ns // length_ns
    pair, second = divmod(number, 2)
    digest = hashlib.blake2b(f"{plan.seed}:{pair}".encode(), digest_size=1).digest()
    treated = bool((digest[0] + second) % 2)
    begin = number * length_ns
    return Block(
        number=number,
        arm=plan.treatment if treated else plan.control,
        treated=treated,
        begin_ns=begin,
        counts_ns=begin + int(length_ns * WASHOUT_PART),
        end_ns=begin + length_ns,
    )
