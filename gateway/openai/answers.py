"""A run's answer as a chat completion, whole or as server-sent chunks."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import UNSET, UnsetType

from gateway.answers import Answer
from gateway.execution import Run
from gateway.openai.errors import failure
from gateway.openai.models import (
    ChatCompletion,
    Choice,
    Chunk,
    ChunkChoice,
    CompletionMessage,
    CompletionUsage,
    Delta,
    ErrorBody,
    Failed,
    encode,
)
from kit.spool import SpoolFull
from schemas.runner import Citation
from schemas.runner import Delta as RunnerDelta

_DONE = b"data: [DONE]\n\n"


def completion(answer: Answer, created_s: int) -> ChatCompletion:
    """Return a finished run as a chat completion."""
    choice = Choice(message=CompletionMessage(content=answer.output), finish_reason=answer.finish_reason)
    return ChatCompletion(
        id=answer.run_id,
        created=created_s,
        model=answer.model,
        choices=(choice,),
        usage=usage(answer),
        citations=answer.citations or UNSET,
    )


def usage(answer: Answer) -> CompletionUsage:
    """Return what was metered."""
    used = answer.usage
    return CompletionUsage(
        prompt_tokens=used.tokens_in,
        completion_tokens=used.tokens_out,
        total_tokens=used.tokens_in + used.tokens_out,
    )


class ChunkStream:
    """A run's chunks. With `include_usage`, every chunk has `usage`, and the last one what was metered."""

    def __init__(self, run_id: str, model: str, created_s: int, *, include_usage: bool) -> None:
        self._run_id, self._model, self._created_s = run_id, model, created_s
        self._include_usage = include_usage

    async def of(self, run: Run) -> AsyncIterator[bytes]:
        """Yield a run's chunks as it writes; a client that goes away cancels the run."""
        try:
            yield self._piece(Delta(role="assistant", content=""))
            async for frame in run.frames():
                if isinstance(frame, RunnerDelta):
                    yield self._piece(Delta(content=frame.text))
            try:
                answer = await run.answer()
            except SpoolFull:
                message = f"usage could not be recorded (run {self._run_id})"
                yield _error(Failed(message=message, type="server_error", code="metering_unavailable"))
            else:
                for piece in self._end(answer):
                    yield piece
            yield _DONE
        finally:
            run.cancel("client_disconnected")

    async def again(self, answer: Answer) -> AsyncIterator[bytes]:
        """Yield a finished run's chunks, for a repeated request."""
        yield self._piece(Delta(role="assistant", content=""))
        if answer.output:
            yield self._piece(Delta(content=answer.output))
        for piece in self._end(answer):
            yield piece
        yield _DONE

    def _end(self, answer: Answer) -> list[bytes]:
        if answer.status != "completed":
            return [_error(failure(answer)[1])]
        end = (ChunkChoice(delta=Delta(), finish_reason=answer.finish_reason),)
        cited = answer.citations or UNSET
        if not self._include_usage:
            return [self._chunk(end, citations=cited)]
        return [self._chunk(end), self._chunk((), usage(answer), cited)]

    def _piece(self, delta: Delta) -> bytes:
        return self._chunk((ChunkChoice(delta=delta),))

    def _chunk(
        self,
        choices: tuple[ChunkChoice, ...],
        used: CompletionUsage | None = None,
        citations: tuple[Citation, ...] | UnsetType = UNSET,
    ) -> bytes:
        told: CompletionUsage | UnsetType | None = used if self._include_usage else UNSET
        chunk = Chunk(
            id=self._run_id,
            created=self._created_s,
            model=self._model,
            choices=choices,
            usage=told,
            citations=citations,
        )
        return b"data: %b\n\n" % encode(chunk)


def _error(failed: Failed) -> bytes:
    return b"data: %b\n\n" % encode(ErrorBody(error=failed))
