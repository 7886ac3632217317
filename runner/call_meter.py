"""Cumulative usage of one model call, reported while it runs."""

from __future__ import annotations

from kit import tokens
from kit.clock import Clock
from kit.settings import RunnerSettings
from runner.model import ModelUsage
from schemas.events import TokenEvent, UsageSource, owner_of
from schemas.runner import CallStarted, ExecuteRequest


class CallMeter:
    """Counts a call. `input_tokens` is counted locally, before the provider says."""

    def __init__(
        self,
        run: ExecuteRequest,
        call: CallStarted,
        settings: RunnerSettings,
        clock: Clock,
    ) -> None:
        self.call_id = call.call_id
        self.model = call.model
        self.input_tokens = call.input_tokens
        self._run = run
        self._settings = settings
        self._clock = clock
        self._seq = 0
        self._text: list[str] = []
        self._pending: list[str] = []
        self._counted = 0
        self._reported = 0
        self._reported_at = clock()
        self._usage: ModelUsage | None = None
        self.begun = False
        self._asked = False
        self.closed = False

    @property
    def text(self) -> str:
        """What the model wrote to the client so far."""
        return "".join(self._text)

    @property
    def used(self) -> int:
        """Tokens so far, read and written."""
        usage = self._usage
        return usage.prompt_tokens + usage.completion_tokens if usage else self.input_tokens + self._counted

    @property
    def output(self) -> int:
        """Tokens so far, written."""
        return self._usage.completion_tokens if self._usage else self._counted

    def asked(self, waits: bool) -> None:
        """The provider has the request (`waits`), or refused it."""
        self._asked = waits

    def wrote(self, text: str, *, shown: bool = True) -> None:
        """The model produced a piece of text (`shown`) or of a tool call."""
        self.begun = True
        self._pending.append(text)
        if shown:
            self._text.append(text)

    def provider_said(self, usage: ModelUsage) -> None:
        """The provider reported usage; reports are cumulative, so the last one counts."""
        self.begun = True
        self._usage = usage

    def interim(self) -> TokenEvent | None:
        """Return a report if one is due."""
        if not self._pending:
            return None
        due = self._clock() - self._reported_at >= self._settings.report_every_ms
        if not due and len(self._pending) < self._settings.report_every_tokens // 4:
            return None
        self._count()
        if not due and self._counted - self._reported < self._settings.report_every_tokens:
            return None
        return self._report("estimate", final=False)

    def close(self, source: UsageSource, *, left: bool = False) -> TokenEvent | None:
        """Return the call's last report; `None` when the provider used nothing for it.

        `left`: the answer was not waited for. A provider that has the request has read the input anyway.
        """
        self.closed = True
        if not self.begun and not (left and self._asked):
            return None
        self._count()
        return self._report("provider" if self._usage else source, final=True)

    def _count(self) -> None:
        # Piece by piece would count the seams between pieces as token borders.
        self._counted += tokens.count("".join(self._pending), self.model)
        self._pending = []

    def _report(self, source: UsageSource, *, final: bool) -> TokenEvent:
        run, usage, now = self._run, self._usage, self._clock()
        self._seq += 1
        self._reported, self._reported_at = self._counted, now
        cached = usage.cached if usage else 0
        return TokenEvent(
            **owner_of(run),
            occurred_at_ms=now,
            call_id=self.call_id,
            seq=self._seq,
            model=self.model,
            input_uncached=usage.prompt_tokens - cached if usage else self.input_tokens,
            cache_read=cached,
            output=usage.completion_tokens if usage else self._counted,
            reasoning=usage.reasoning if usage else 0,
            final=final,
            source=source,
        )
