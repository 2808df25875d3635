"""The brain `claude`: puts a question to Claude through the SDK, model after model, within one deadline.

Used by the factory, wrapped in `Spending`. It never raises, and never takes longer than the question allows:
the talking is done on a daemon thread of its own, which is left behind when the time is up.
"""

import threading
import time
from datetime import date, datetime, timezone
from typing import Any, Callable, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple, Union

from msgspec import Struct

from reasond.brains import models, replies
from reasond.brains.base import Question
from reasond.brains.exchange import Attempt, Exchange
from reasond.brains.prompts import Prompt, Wording, render
from reasond.brains.redaction import Redactor, Secrets
from reasond.brains.transcript import line_of
from reasond.brains.transport import MAX_DETAIL_CHARS, CallFailed
from reasond.core.effects import Answer, ApiCall, Failure, FailureReason, Level
from reasond.decisions import Decision
from reasond.errors import DecisionInvalid

RETRY_MODEL_S = 24 * 3600.0
"""Seconds after which a model that was unknown to the API is tried again: access may have been granted."""
END_NEAR_DAYS = 30
"""Days before a model's end from which it is said."""
MAX_STRAYS = 8
"""Threads left behind that may still hang before no new one is started: they end with their sockets'
timeouts, and so many at once mean that something is wrong that more of them won't mend."""

Say = Callable[[Level, str, Dict[str, Any]], None]
Record = Callable[[Dict[str, Any]], None]


class Post(Protocol):
    """What the brain needs of the transport."""

    def post(self, exchange: Exchange, request: Dict[str, Any]) -> bytes:
        """Give the body of the API's answer; raises CallFailed."""
        ...


class _Outcome(Struct):
    """What became of a question: a decision, or why there is none; `raw` is what the model said."""

    model: str = "none"
    decision: Optional[Decision] = None
    reason: FailureReason = "deadline"
    detail: str = ""
    raw: str = ""


class ClaudeBrain:
    """Asks Claude; `model_names` in order of preference.

    `say(level, event, fields)` is told once of each thing about a model that people should know; `record`
    gets one transcript entry a question. Both are called on the caller's thread or the brain's own.
    """

    name = "claude"
    simulated_latency = False

    def __init__(
        self,
        *,
        transport: Post,
        model_names: Sequence[str],
        max_tokens: int,
        max_retries: int = 3,
        redactor: Optional[Redactor] = None,
        wording: Optional[Wording] = None,
        secrets: Optional[Secrets] = None,
        say: Say = lambda level, event, fields: None,
        record: Record = lambda entry: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with every model in its place."""
        self._transport = transport
        self._rows: List[models.Model] = [models.find(name) for name in model_names]
        self._max_tokens = max_tokens
        self._max_retries = max_retries
        self._redactor = redactor or Redactor()
        self._wording = wording
        self._secrets = secrets or Secrets()
        self._say = say
        self._record = record
        self._clock = clock
        self._left: Dict[str, float] = {}
        self._refused_shape: Dict[str, models.Model] = {}
        self._said: Dict[Tuple[str, str], bool] = {}
        self._strays: List[threading.Thread] = []
        self._model = ""

    def decide(self, question: Question) -> Union[Answer, Failure]:
        """Give Claude's decision within the question's deadline, or tell why there is none; never raises."""
        exchange = Exchange(question.deadline_s, self._clock)
        try:
            prompt = self._render(question)
            outcome = self._ask_aside(question, prompt, exchange)
        except Exception as err:
            prompt, outcome = Prompt("", "none"), _Outcome(reason="internal", detail=self._tell(err))
        result = self._result(question, prompt, exchange, outcome)
        self._record(line_of(question, prompt, outcome.raw, outcome.model, result))
        return result

    def worst_case_usd(self, question: Question) -> float:
        """Give an upper bound of what deciding this question costs, USD: all attempts sent, one answered.

        Of the models that may answer the dearest counts. 0 where none is left.
        """
        size = len(self._render(question).text.encode("utf-8"))
        return max([self._bound_usd(row, question, size) for row in self._usable(question.wall_ns)], default=0.0)

    def status(self) -> str:
        """Tell which model answers, where it isn't the first of the list."""
        first = self._rows[0].name if self._rows else "none"
        if self._model in ("", first):
            return ""
        return f"model {self._model} in place of {first}"

    def _render(self, question: Question) -> Prompt:
        """Give the prompt, without any key that found its way into a message."""
        prompt = render(question.context, self._redactor, self._wording)
        return Prompt(text=self._secrets.scrub(prompt.text), version=prompt.version)

    def _bound_usd(self, row: models.Model, question: Question, size: int) -> float:
        room = models.shape(row, question.agent_type, self._max_tokens)["max_tokens"]
        # Attempts that fail after they were sent are counted with their input alone.
        return models.worst_case_usd(row, size, room) + self._max_retries * models.input_bound_usd(row, size)

    def _ask_aside(self, question: Question, prompt: Prompt, exchange: Exchange) -> _Outcome:
        """Talk to the API on a thread of its own and wait for it no longer than allowed."""
        self._strays = [thread for thread in self._strays if thread.is_alive()]
        if len(self._strays) >= MAX_STRAYS:
            return _Outcome(reason="unreachable", detail=f"{len(self._strays)} earlier calls still hang")
        found: List[_Outcome] = []

        def work() -> None:
            try:
                found.append(self._converse(question, prompt, exchange))
            except Exception as err:
                found.append(_Outcome(reason="internal", detail=self._tell(err)))
            exchange.given_up.set()

        thread = threading.Thread(target=work, name="claude-" + question.ask_id, daemon=True)
        thread.start()
        exchange.given_up.wait(exchange.remaining_s())
        if found:
            return found[0]
        exchange.cut()
        self._strays.append(thread)
        return _too_late(exchange)

    def _converse(self, question: Question, prompt: Prompt, exchange: Exchange) -> _Outcome:
        for row in self._usable(question.wall_ns):
            outcome = self._ask(row, question, prompt, exchange)
            if outcome.reason != "no_model" or outcome.decision is not None:
                return outcome
            self._left[row.name] = self._clock()
            self._say_once("warning", "model_unknown_to_api", row.name, {"detail": outcome.detail})
        return _Outcome(reason="no_model", detail="none of {} answers".format(", ".join(r.name for r in self._rows)))

    def _ask(self, row: models.Model, question: Question, prompt: Prompt, exchange: Exchange) -> _Outcome:
        exchange.model = row.name
        request = {"model": row.name, "messages": [{"role": "user", "content": prompt.text}]}
        request.update(models.shape(row, question.agent_type, self._max_tokens))
        try:
            body = self._transport.post(exchange, request)
        except CallFailed as err:
            if err.reason == "bad_request" and _blames_shape(err.detail, request):
                return self._ask_carefully(row, err.detail, question, prompt, exchange)
            return _Outcome(model=row.name, reason=err.reason, detail=err.detail)
        return self._read(row, body, question, exchange)

    def _ask_carefully(
        self, row: models.Model, detail: str, question: Question, prompt: Prompt, exchange: Exchange
    ) -> _Outcome:
        """Ask without what was refused, and from now on at once: an older proxy may stand in between."""
        plain = models.careful(row)
        self._refused_shape[row.name] = plain
        self._say_once("warning", "request_shape_refused", row.name, {"detail": detail})
        return self._ask(plain, question, prompt, exchange)

    def _read(self, row: models.Model, body: bytes, question: Question, exchange: Exchange) -> _Outcome:
        outcome = _Outcome(model=row.name, reason="invalid_answer")
        try:
            reply = replies.read_message(body)
        except ValueError as err:
            exchange.end("invalid_answer", str(err))
            outcome.detail = self._tell(err)
            outcome.raw = body[: 4 * MAX_DETAIL_CHARS].decode("utf-8", "replace")
            return outcome
        exchange.measured(reply.input_tokens, reply.output_tokens)
        outcome.raw = reply.raw
        try:
            if reply.stopped is None:
                outcome.decision = replies.decision_in(reply, question.agent_type)
                self._model = row.name
            else:
                outcome.reason, outcome.detail = reply.stopped, f"stop_reason {reply.stop_reason}"
        except DecisionInvalid as err:
            outcome.detail = self._tell(err)
        exchange.end("none" if outcome.decision is not None else outcome.reason, outcome.detail)
        return outcome

    def _usable(self, wall_ns: int) -> Iterator[models.Model]:
        """Yield the models that may be asked now, in order; say once what keeps others out."""
        today = datetime.fromtimestamp(wall_ns / 1e9, timezone.utc).date()
        for row in self._rows:
            left_at = self._left.get(row.name)
            if models.retired(row, today):
                self._say_once("warning", "model_retired", row.name, {"ended": str(row.retires)})
                continue
            if left_at is not None and self._clock() - left_at < RETRY_MODEL_S:
                continue
            self._remark(row, today)
            yield self._refused_shape.get(row.name, row)

    def _remark(self, row: models.Model, today: date) -> None:
        if not row.known:
            price = {"input_usd": row.input_usd, "output_usd": row.output_usd}
            self._say_once("warning", "model_not_in_table", row.name, price)
        elif row.retires is not None and (row.retires - today).days <= END_NEAR_DAYS:
            self._say_once("warning", "model_ends_soon", row.name, {"ends": str(row.retires)})

    def _say_once(self, level: Level, event: str, model: str, fields: Dict[str, Any]) -> None:
        if (event, model) not in self._said:
            self._said[(event, model)] = True
            self._say(level, event, dict(fields, model=model))

    def _tell(self, err: BaseException) -> str:
        return self._secrets.scrub(f"{type(err).__name__}: {err}")[:MAX_DETAIL_CHARS]

    def _result(
        self, question: Question, prompt: Prompt, exchange: Exchange, outcome: _Outcome
    ) -> Union[Answer, Failure]:
        size = len(prompt.text.encode("utf-8"))
        calls = tuple(_call(attempt, question.wall_ns, size) for attempt in exchange.attempts())
        latency_ms = exchange.elapsed_s() * 1000.0
        input_tokens = sum(call.input_tokens for call in calls)
        output_tokens = sum(call.output_tokens for call in calls)
        cost_usd = sum(call.cost_usd for call in calls)
        if outcome.decision is None:
            return Failure(
                reason=outcome.reason,
                detail=outcome.detail,
                latency_ms=latency_ms,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cost_usd=cost_usd,
                calls=calls,
            )
        return Answer(
            decision=outcome.decision,
            brain=self.name,
            model=outcome.model,
            prompt_version=prompt.version,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost_usd=cost_usd,
            latency_ms=latency_ms,
            calls=calls,
        )


def _call(attempt: Attempt, wall_ns: int, prompt_bytes: int) -> ApiCall:
    """Give an attempt as it is recorded; one sent in vain keeps its estimated input as spent."""
    row = models.find(attempt.model)
    cost = models.cost_usd(row, attempt.input_tokens, attempt.output_tokens)
    if not attempt.measured and attempt.sent and attempt.status < 300:
        cost = models.input_bound_usd(row, prompt_bytes)
    ended_s = attempt.started_s if attempt.ended_s is None else attempt.ended_s
    return ApiCall(
        wall_ns=wall_ns + int(attempt.started_s * 1e9),
        model=attempt.model,
        attempt=attempt.number,
        status=attempt.status,
        error=attempt.error or "none",
        latency_ms=(ended_s - attempt.started_s) * 1000.0,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cost_usd=cost,
    )


def _too_late(exchange: Exchange) -> _Outcome:
    """Tell why there is no answer when the time is up: by the last attempt, if that got a refusal."""
    outcome = _Outcome(model=exchange.model or "none", detail=f"no answer within {exchange.deadline_s:g} s")
    attempts = exchange.attempts()
    if attempts and attempts[-1].status >= 300:
        outcome.reason = replies.reason_of(attempts[-1].status, attempts[-1].detail)[0]
    elif attempts and attempts[-1].error == "connection":
        outcome.reason = "unreachable"
    return outcome


def _blames_shape(detail: str, request: Dict[str, Any]) -> bool:
    """Tell whether a refusal names something the request carried beyond the bare minimum."""
    sent = request.get("extra_body", {})
    return bool(sent) and any(word in detail for word in ("output_config", "thinking", "effort", "json_schema"))
