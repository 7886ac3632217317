"""The events of a run, as they stand on Kafka.

A run is a join-semilattice: each event carries *cumulative* facts about one run, one model call or one tool
call, so that a consumer may see it twice, late or out of order and still end in the same state
(`metering.runs.merge`). All times are Unix milliseconds, UTC, fixed by the producer; all token counts are
exact integers in disjoint buckets (`cache_read` is not part of `input_uncached`).

Wire form: UTF-8 JSON, one object per record, key = `org_id`. Producers are strict; consumers ignore fields
they do not know and refuse a `v` they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

EVENT_VERSION: Final = 1

#: 2**53 - 1: the largest integer that JSON readers and Lua agree on.
MAX_EXACT = 9_007_199_254_740_991

Version = Literal[1]
Id = Annotated[str, Meta(min_length=1, max_length=128)]
OptionalId = Annotated[str, Meta(max_length=128)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
OptionalName = Annotated[str, Meta(max_length=256)]
ShortText = Annotated[str, Meta(max_length=512)]
Count = Annotated[int, Meta(ge=0, le=10_000_000_000)]
#: Of a run: each of its calls may count up to a `Count`.
Total = Annotated[int, Meta(ge=0, le=MAX_EXACT)]
UnixMs = Annotated[int, Meta(ge=0, le=4_102_444_800_000)]
MicroCredits = Annotated[int, Meta(ge=-MAX_EXACT, le=MAX_EXACT)]

Channel = Literal["api", "widget", "openai", "mcp", "console", "intake"]
RunStatus = Literal["started", "lost", "completed", "failed", "cancelled", "limit_exceeded"]
CLOSING_STATUSES: tuple[RunStatus, ...] = ("lost", "completed", "failed", "cancelled", "limit_exceeded")
UsageSource = Literal["provider", "estimate", "partial"]
ToolStatus = Literal["ok", "error", "timeout"]
GrantKind = Literal["purchase", "plan", "promotion", "correction", "trial"]
GrantAction = Literal["issue", "void", "refund", "expire"]
CorrectionKind = Literal["void", "amend", "rerate"]
EntryKind = Literal["usage", "adjustment", "grant", "expiry", "void", "refund"]
LimitScope = Literal["org_wallet", "instance_day", "instance_month"]


class UsageEvent(Struct, frozen=True, kw_only=True, gc=False):
    """What every event of a run says about whose run it is.

    `started_at_ms` is the moment the gateway admitted the run. Every event repeats it because a run is
    counted in the minute it started in, and an event must not need another one to be counted.
    `price_version` names the price book the gateway priced the hold with; the charge is computed from the
    same book, so that it is a function of the log alone.
    """

    v: Version = EVENT_VERSION
    tenant_id: Id
    org_id: Id
    instance_id: Id
    run_id: Id
    channel: Channel
    key_id: OptionalId = ""
    price_version: Id
    started_at_ms: UnixMs
    occurred_at_ms: UnixMs


_OWNER = (
    "tenant_id",
    "org_id",
    "instance_id",
    "run_id",
    "channel",
    "key_id",
    "price_version",
    "started_at_ms",
)


def owner_of(source: Struct) -> dict[str, Any]:
    """Return what every event of a run repeats, from anything that carries it, such as a lease."""
    return {name: getattr(source, name) for name in _OWNER}


class RunEvent(UsageEvent, frozen=True, kw_only=True, gc=False):
    """A run began or ended (topic `usage.runs`).

    The closing one is *the* usage event of the run: the totals the gateway answered with. Money is computed
    from the token and tool-call events; these totals are the cross-check.
    """

    status: RunStatus
    model: Name
    tokens_in: Total = 0
    tokens_out: Total = 0
    duration_ms: Count = 0
    tool_calls: Count = 0
    credits_micro: MicroCredits = 0
    streamed: bool = False
    end_user: OptionalId = ""
    error_code: ShortText = ""


class TokenEvent(UsageEvent, frozen=True, kw_only=True, gc=False):
    """Cumulative usage of one model call (topic `usage.tokens`).

    A long stream emits several with a growing `seq`; the last has `final`. `reasoning` is a part of
    `output`, every other bucket is disjoint: `tokens_in = input_uncached + cache_read + cache_write`.
    """

    call_id: Id
    seq: Count
    model: Name
    input_uncached: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0
    final: bool = False
    source: UsageSource = "provider"


class ToolCallEvent(UsageEvent, frozen=True, kw_only=True, gc=False):
    """One finished tool call (topic `usage.tool_calls`). `status=timeout` was used, and is charged, too."""

    tool_call_id: Id
    tool: Name
    duration_ms: Count = 0
    status: ToolStatus = "ok"


class CorrectionEvent(UsageEvent, frozen=True, kw_only=True, gc=False):
    """An amendment of a run (topic `usage.corrections`). `request_id` makes it apply once.

    It never rewrites history: what the run costs more or less from now on becomes an adjustment entry at
    `occurred_at_ms`. `void` makes the run free; `rerate` prices it by `new_price_version`; `amend` replaces
    one model call's usage (an empty `call_id`: adds a call that was never reported).
    """

    request_id: Id
    kind: CorrectionKind
    new_price_version: OptionalId = ""
    call_id: OptionalId = ""
    model: OptionalName = ""
    input_uncached: Count = 0
    cache_read: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0
    reason: ShortText = ""


class GrantEvent(Struct, frozen=True, kw_only=True, gc=False):
    """A command to a wallet (topic `credits.grants`); `command_id` makes it apply once.

    `issue` gives credits; of what is left at `expires_at_ms` (0: never), up to `rollover_cap_micro` lasts
    `rollover_ms` longer. A lower `priority` burns first. `void` takes away what is left of a grant, `refund`
    claws back `amount_micro` of it, because the money was returned. `expire` brings the wallet to
    `occurred_at_ms` and nothing else, so that time passes for a wallet that nobody uses.
    """

    v: Version = EVENT_VERSION
    #: What an `issue` creates, and what the others are about; of `expire`, the wallet's organisation.
    grant_id: Id
    tenant_id: Id
    org_id: Id
    kind: GrantKind
    amount_micro: Annotated[int, Meta(ge=0, le=MAX_EXACT)]
    reason: ShortText = ""
    occurred_at_ms: UnixMs
    action: GrantAction = "issue"
    #: Empty for an `issue`: its grant's id.
    command_id: OptionalId = ""
    priority: Annotated[int, Meta(ge=0, le=999)] = 100
    effective_at_ms: UnixMs = 0
    expires_at_ms: UnixMs = 0
    rollover_cap_micro: Annotated[int, Meta(ge=0, le=MAX_EXACT)] = 0
    rollover_ms: Count = 0


class RunSnapshot(Struct, frozen=True, kw_only=True):
    """One run folded so far: the row that `runs` in ClickHouse holds.

    `version` grows with every event that added something, whatever order they came in, so the row with the
    highest version is the run.
    """

    instance_id: Id
    run_id: Id
    version: Annotated[int, Meta(ge=0, le=MAX_EXACT)]
    status: RunStatus
    channel: Channel
    key_id: OptionalId = ""
    model: OptionalName = ""
    streamed: bool = False
    end_user: OptionalId = ""
    error_code: ShortText = ""
    started_at_ms: UnixMs
    closed_at_ms: UnixMs = 0
    duration_ms: Count = 0
    tokens_in: Total = 0
    tokens_out: Total = 0
    input_uncached: Total = 0
    cache_read: Total = 0
    cache_write: Total = 0
    reasoning: Total = 0
    model_calls: Count = 0
    tool_calls: Count = 0
    charged_micro: MicroCredits = 0
    price_version: OptionalId = ""
    estimated: bool = False
    unpriced: bool = False
    skewed: bool = False


class LedgerEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transfer between two accounts (topic `credits.ledger`), written by the script that made it.

    An entry states a *fact so far*, not a step: a run's `usage` entry carries all that the run was charged,
    and the entry with the highest `version` is the entry. So it does not matter how the events were cut into
    batches, nor whether they were applied again after Redis lost its last second. `amount_micro` is signed
    from the wallet's point of view: what `account` gives the wallet, or, negative, takes.
    """

    v: Version = EVENT_VERSION
    #: The run, grant or command it is about, with the correction's request id where it adjusts a run.
    entry_id: Id
    version: Annotated[int, Meta(ge=0, le=MAX_EXACT)] = 0
    kind: EntryKind
    tenant_id: Id
    org_id: Id
    amount_micro: MicroCredits
    #: The other side of the transfer, such as `usage`, `granted:purchase`, `expired`.
    account: Name
    occurred_at_ms: UnixMs
    reference_id: Id
    #: The price book that an entry of a run was priced with.
    price_version: OptionalId = ""
    reason: ShortText = ""
    run: RunSnapshot | None = None


class LimitEvent(Struct, frozen=True, kw_only=True):
    """A threshold of a limit was crossed (topic `credits.limits`), once per threshold and period.

    `used_permille` of the limit: 500, 800, 1,000. Of a wallet the limit is what was granted; a period of 0
    means that it has none. `period_start_ms` begins anew when credits are added. Of an instance's cap it is
    the start of the day or month (UTC), and another cap has thresholds of its own.
    """

    v: Version = EVENT_VERSION
    event_id: Id
    tenant_id: Id
    org_id: Id
    instance_id: OptionalId = ""
    scope: LimitScope
    used_permille: Count
    used_micro: MicroCredits
    limit_micro: MicroCredits
    period_start_ms: UnixMs = 0
    occurred_at_ms: UnixMs


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that could not be applied, with its coordinates and its original bytes (base64 in JSON)."""

    v: Version = EVENT_VERSION
    topic: Name
    partition: Count
    offset: Count
    reason: Name
    detail: ShortText = ""
    worker: Name
    recorded_at_ms: UnixMs
    key: bytes | None = None
    value: bytes | None = None


_encoder = msgspec.json.Encoder()


def encode(event: Struct) -> bytes:
    """Return the wire form of any event of this module."""
    return _encoder.encode(event)
