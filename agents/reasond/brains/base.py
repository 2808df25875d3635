"""The one interface of every brain."""

from typing import Protocol, Union

from msgspec import Struct

from reasond.core.contexts import Context
from reasond.core.effects import Answer, Failure
from reasond.decisions import AgentType


class Question(Struct, frozen=True):
    """What a brain is asked: who asks, what about, and how long it may take (seconds, retries and all)."""

    ask_id: str
    agent_id: str
    agent_type: AgentType
    context: Context
    deadline_s: float
    wall_ns: int


class Brain(Protocol):
    """Decides. `decide` may block up to the deadline and is called on a daemon thread; it never raises.

    `simulated_latency` is True where `Answer.latency_ms` is made up: the caller then delivers the answer that
    much later (in virtual time that costs nothing), while `decide` itself returns at once.
    """

    name: str
    simulated_latency: bool

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give a decision for the question, or tell why there is none."""
        ...

    def status(self) -> str:
        """Give a few words on its state for STATUS lines; empty when there is nothing to say."""
        ...
