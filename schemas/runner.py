"""What the gateway asks of the runner and what the runner streams back: newline-delimited JSON over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.events import Channel, RunStatus, TokenEvent, ToolCallEvent, ToolStatus

EXECUTE_PATH = "/internal/v1/runs"
SEARCH_PATH = "/internal/v1/search"
TOOLS_PATH = "/internal/v1/tools"
TOOL_CALL_PATH = "/internal/v1/tools/call"


#: What the runner's own instructions about knowledge and tools are in tokens, at most.
RULES_TOKENS = 256


def step_path(run_id: str) -> str:
    """Return where the decision on a run's proposed step is posted."""
    return f"{EXECUTE_PATH}/{run_id}/step"


def cancel_path(run_id: str) -> str:
    """Return where a run is cancelled."""
    return f"{EXECUTE_PATH}/{run_id}/cancel"


MessageRole = Literal["system", "user", "assistant"]


class Message(Struct, frozen=True):
    """One message of the conversation."""

    role: MessageRole
    content: str


class ExecuteRequest(Struct, frozen=True, kw_only=True):
    """A run to execute. The first fields are copied into every usage event of the run."""

    tenant_id: str
    org_id: str
    instance_id: str
    run_id: str
    channel: Channel
    key_id: str
    price_version: str
    started_at_ms: int
    model: str
    messages: tuple[Message, ...]
    #: Names of built-in tools the instance may use.
    tools: tuple[str, ...] = ()
    #: Whether the instance has knowledge: it is searched before the model is asked, and the model may search.
    knowledge: bool = False
    #: Whether the instance has connectors; the runner reads them from their projection.
    connectors: bool = False
    #: Who the agent speaks for, and how.
    brand: str = ""
    voice: str = ""
    #: The conversation that the messages go on with; empty: none, nothing is remembered.
    conversation_id: str = ""
    #: Whose conversation it is, where a visitor of a page asks: no other visitor sees it.
    visitor: str = ""
    #: The most tokens that knowledge and earlier turns may add to the messages: the gateway reserved them.
    max_context_tokens: int = 0
    #: The most tokens the first model call may produce; each further one is told with its step.
    max_output_tokens: int = 1024
    temperature: float | None = None
    #: Whether somebody reads the answer as it is written. If not, its text may come in larger pieces.
    streamed: bool = True


class CallStarted(Struct, frozen=True, kw_only=True, tag="call"):
    """A model call is about to be sent. `input_tokens` is counted locally.

    Sent so that the gateway can account for the call if the runner dies before it reports usage.
    """

    call_id: str
    model: str
    input_tokens: int


class Delta(Struct, frozen=True, kw_only=True, tag="delta"):
    """A piece of the answer's text."""

    text: str


class ToolCallStarted(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """The model asked for a tool. `arguments` is the JSON text the model wrote."""

    tool_call_id: str
    tool: str
    arguments: str


class ToolCallFinished(Struct, frozen=True, kw_only=True, tag="tool_result"):
    """A tool call ended; the event was handed to Kafka."""

    event: ToolCallEvent


class UsageReported(Struct, frozen=True, kw_only=True, tag="usage"):
    """Cumulative usage of a model call; the same event was handed to Kafka."""

    event: TokenEvent


class StepProposed(Struct, frozen=True, kw_only=True, tag="step"):
    """The model asked for tools. Before it calls them and the model again, the runner waits to be told.

    `tools` has a name for each call. `input_tokens` is counted locally, the tools' definitions included, with
    the most that the tools may answer.
    """

    tools: tuple[str, ...]
    input_tokens: int


class Citation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A passage that an answer rests on. The text refers to it as `[number]`; `page` 0: it has no pages."""

    number: int
    source_id: str
    title: str = ""
    url: str = ""
    section: str = ""
    page: int = 0
    #: Ranks the passages of one search; says nothing across searches.
    score: float = 0


class Ended(Struct, frozen=True, kw_only=True, tag="end"):
    """The last frame: the run is over and, if `recorded`, every usage event of it is durable.

    If not, whoever heard the reports has to make them so before the run is closed.
    """

    status: RunStatus
    error_code: str = ""
    detail: str = ""
    recorded: bool = True
    citations: tuple[Citation, ...] = ()


class StepDecision(Struct, frozen=True, kw_only=True):
    """What the gateway says to a proposed step, posted to `step_path`.

    If it may not `proceed`, the run ends there: as `limit_exceeded` where credits ran out, else as `failed`.
    """

    proceed: bool
    #: The most tokens the next model call may produce.
    max_output_tokens: int = 0
    status: RunStatus = "limit_exceeded"
    error_code: str = ""
    detail: str = ""


Frame = CallStarted | Delta | ToolCallStarted | ToolCallFinished | UsageReported | StepProposed | Ended

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as one line."""
    return _encoder.encode(frame) + b"\n"


def decode_frame(line: bytes) -> Frame:
    """Return the frame of one line. Raises `msgspec.DecodeError`."""
    frame: Frame = _decoder.decode(line)
    return frame


class SearchRequest(Struct, frozen=True, kw_only=True):
    """Ask what an instance knows, without a model's answer."""

    tenant_id: str
    org_id: str
    instance_id: str
    query: Annotated[str, Meta(min_length=1, max_length=4_000)]
    limit: Annotated[int, Meta(ge=1, le=20)] = 5


class Passage(Struct, frozen=True, kw_only=True):
    """A piece of a knowledge source. Its text is data that strangers may have written."""

    source_id: str
    title: str
    url: str
    section: str
    page: int
    text: str
    score: float


class SearchAnswer(Struct, frozen=True, kw_only=True):
    """What was found, best first."""

    passages: tuple[Passage, ...]


class ToolsRequest(Struct, frozen=True, kw_only=True):
    """Ask what an instance's connectors can do."""

    tenant_id: str
    org_id: str
    instance_id: str


class OfferedTool(Struct, frozen=True, kw_only=True):
    """A tool of a connector's. `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolsAnswer(Struct, frozen=True, kw_only=True):
    """The tools of the instance's enabled connectors; those that cannot be opened are left out."""

    tools: tuple[OfferedTool, ...]


class ToolCallRequest(Struct, frozen=True, kw_only=True):
    """Have a connector's tool called, without a model. `run_id`: the run that it is metered as."""

    tenant_id: str
    org_id: str
    instance_id: str
    run_id: str
    tool: Annotated[str, Meta(min_length=1, max_length=128)]
    arguments: dict[str, Any] = {}


class ToolCallAnswer(Struct, frozen=True, kw_only=True):
    """What the tool said, or why it did not. Its text is data that strangers may have written."""

    status: ToolStatus
    text: str
