"""A local server that speaks Anthropic's Messages API, for the real SDK to talk to through its base URL.

It is as strict as the API, counts tokens, answers by a policy that sees only the prompt's text, breaks in
every way a test asks for, and logs each exchange:

    with StandIn(policy="sensible") as api:
        client = anthropic.Anthropic(api_key=api.key, base_url=api.url)
        api.script(["529", Step("429", retry_after=3600), "hang"])

Out of process: `python -m tests.standin --port 0 --log FILE`, then GET and POST /_control, GET /_log and
GET /_totals.
"""

from tests.standin.journal import Exchange
from tests.standin.policy import Inverted, Policy, Sensible
from tests.standin.server import StandIn
from tests.standin.settings import Rule, Step
from tests.standin.wire import FORMS

__all__ = ["FORMS", "Exchange", "Inverted", "Policy", "Rule", "Sensible", "StandIn", "Step"]
