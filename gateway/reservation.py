"""What a run holds, and how it gets more before each further step.

The metering worker turns holds into charges as usage comes in, so what the hold is *now* depends on how far
it has got. What was granted in all does not: a run needs what it has cost so far and its next step, whatever
of that has been charged already.
"""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from gateway import metrics
from gateway.admission import Addition, AdmissionControl, NotExtended
from gateway.credits import as_credits
from gateway.history import CallHistory
from gateway.keys import Caller
from gateway.quotes import Quote, input_bound, quote, tools_bound
from metering.prices import PriceBook, affordable_output
from schemas.directory import RunLease
from schemas.runner import StepDecision, StepProposed

log = logging.getLogger(__name__)


class Reservation:
    """The credits of one run. `checked` is false for a run that was let in while nobody could check."""

    def __init__(
        self, admission: AdmissionControl, history: CallHistory, caller: Caller, output_tokens: int
    ) -> None:
        self._admission = admission
        self._history = history
        self._caller = caller
        self._output_tokens = output_tokens
        self.granted_micro = 0
        self.checked = True
        #: Whether some call was allowed less output than was asked for.
        self.shortened = False

    def quote(self, model: str, counted: int, tools: tuple[str, ...]) -> Quote:
        """Return the holds for the first call, whose tool definitions were not counted."""
        limits = self._caller.instance.limits
        excess = self._history.excess(self._caller.instance.instance_id, model, len(tools))
        bound = input_bound(self._caller.book, model, counted + tools_bound(len(tools), excess))
        if limits.cap_output and limits.tokens_per_minute:
            # More than a minute's allowance would never be let through, however long one waits.
            self._output_tokens = max(1, min(self._output_tokens, limits.tokens_per_minute - bound))
        return self._quote(model, bound)

    def _quote(self, model: str, bound: int) -> Quote:
        caller = self._caller
        return quote(
            caller.book,
            model,
            bound,
            self._output_tokens,
            cap_output=caller.instance.limits.cap_output,
            p99=self._history.p99(caller.instance.instance_id),
        )

    def admitted(self, lease: RunLease, asked: Quote, held_micro: int) -> int:
        """Take note of the first hold; return the output tokens it pays for."""
        self.granted_micro = held_micro
        return self._paid_output(lease.model, asked, held_micro)

    def _paid_output(self, model: str, asked: Quote, budget_micro: int) -> int:
        if budget_micro >= asked.wanted:
            return asked.output
        self.shortened = True
        paid = affordable_output(self._caller.book, model, asked.input_tokens, budget_micro)
        return max(1, min(asked.output, paid))

    async def extend(self, lease: RunLease, step: StepProposed, spent_micro: int) -> StepDecision:
        """Reserve a step's tools and its model call, or say why the run ends here."""
        asked = self._quote(lease.model, input_bound(self._caller.book, lease.model, step.input_tokens))
        if not self.checked:
            return StepDecision(proceed=True, max_output_tokens=asked.output)
        book = self._caller.book
        # The run's fee is in what it has spent: every call's worst case holds it once more.
        ahead = spent_micro + _tool_fees(book, step.tools) - book.per_run
        lacking = ahead - self.granted_micro
        try:
            added = await self._admission.extend(
                self._caller,
                lease,
                Addition(
                    minimum=lacking + asked.minimum,
                    wanted=lacking + asked.wanted,
                    typical=None if asked.typical is None else lacking + asked.typical,
                ),
            )
        except RedisError as error:
            return self._unchecked(lease, asked, error)
        if isinstance(added, NotExtended):
            return _refused(added)
        self.granted_micro += added
        output = self._paid_output(lease.model, asked, self.granted_micro - ahead)
        return StepDecision(proceed=True, max_output_tokens=output)

    def _unchecked(self, lease: RunLease, asked: Quote, error: RedisError) -> StepDecision:
        if not self._caller.instance.limits.fail_open:
            return StepDecision(
                proceed=False,
                status="failed",
                error_code="limits_unavailable",
                detail="credits for the next step cannot be checked right now",
            )
        log.warning("a step goes on unchecked", extra={"run_id": lease.run_id, "error": repr(error)})
        metrics.FAIL_OPEN.inc()
        return StepDecision(proceed=True, max_output_tokens=asked.output)


def _tool_fees(book: PriceBook, tools: tuple[str, ...]) -> int:
    return sum(book.tools.get(tool, book.per_tool_call) for tool in tools)


def _refused(refusal: NotExtended) -> StepDecision:
    metrics.CUT_RUNS["hold_exhausted"].inc()
    if refusal.source == "gone":
        detail = "the run was closed meanwhile"
    else:
        available = as_credits(max(0, refusal.available_micro))
        detail = f"{refusal.source} has {available} credits left, too few for the next step"
    return StepDecision(proceed=False, error_code="hold_exhausted", detail=detail)
