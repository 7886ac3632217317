"""Every Redis key the product uses. No other module spells one.

Hot state of partition *p* sits under one hash tag `{p7}`, so that a single script may touch all of it, on a
cluster too. Keys without a tag are projections of the control plane, read one at a time.
"""

from __future__ import annotations

from hashlib import sha256

# --- hot state, one writer per partition -------------------------------------------------------------------


def fence(partition: int, topic: str) -> str:
    """String: the next offset of `topic`/`partition` that has not been applied yet."""
    return f"{{p{partition}}}:fence:{topic}"


def run(partition: int, run_id: str) -> str:
    """String: `metering.metered.MeteredRun`, MessagePack."""
    return f"{{p{partition}}}:run:{run_id}"


def billed(partition: int, run_id: str) -> str:
    """String: what the run's latest billing record said (`streams.billing.records.Billed`), MessagePack."""
    return f"{{p{partition}}}:billed:{run_id}"


def wallet(partition: int, org_id: str) -> str:
    """Hash: what an admission needs to know of a wallet, in micro-credits.

    Written by the metering worker: `balance` (negative: debt), `schedule` (`at_ms:delta` pairs joined by `;`,
    in order: what time alone will change the balance by), `granted`, `charged`, `expired`, `voided`,
    `refunded`, `version` (grows with every change). Kept by every script that changes a hold: `held`, the sum
    of `holds`.
    """
    return f"{{p{partition}}}:wallet:{org_id}"


def wallet_state(partition: int, org_id: str) -> str:
    """String: the wallet with its buckets (`metering.settling.StoredWallet`), MessagePack."""
    return f"{{p{partition}}}:wallet_state:{org_id}"


def wallets_due(partition: int) -> str:
    """Sorted set: org id → Unix ms at which time alone changes its wallet next."""
    return f"{{p{partition}}}:wallets_due"


def wallet_grants(partition: int, org_id: str) -> str:
    """Set: ids of the commands (for an issue, its grant) that were applied to the wallet."""
    return f"{{p{partition}}}:wallet_grants:{org_id}"


def holds(partition: int, org_id: str) -> str:
    """Hash: run id → micro-credits reserved for it."""
    return f"{{p{partition}}}:holds:{org_id}"


def held_by_instance(partition: int, org_id: str) -> str:
    """Hash: instance id → micro-credits its runs hold; its values, too, sum to the wallet's `held`."""
    return f"{{p{partition}}}:held_by_instance:{org_id}"


def running(partition: int, instance_id: str) -> str:
    """Set: ids of the instance's runs that hold credits; its size is the instance's concurrency."""
    return f"{{p{partition}}}:running:{instance_id}"


def rate(partition: int, instance_id: str, of: str) -> str:
    """String: the theoretical arrival time, in Unix µs, of `requests`, `tokens` or reported `events`
    (`metering.limits`)."""
    return f"{{p{partition}}}:rate:{instance_id}:{of}"


def leases(partition: int) -> str:
    """Sorted set: id of each run in flight → Unix ms at which its owner counts as dead."""
    return f"{{p{partition}}}:leases"


def lease(partition: int, run_id: str) -> str:
    """String: who owns a run in flight (`schemas.directory.RunLease`, JSON)."""
    return f"{{p{partition}}}:lease:{run_id}"


def counter(partition: int, instance_id: str, window: str = "total", start_ms: int = 0) -> str:
    """Hash of counters of one instance: all time (`total`) or one window (`second5|minute|hour|day`)."""
    if window == "total":
        return f"{{p{partition}}}:counter:{instance_id}:total"
    return f"{{p{partition}}}:counter:{instance_id}:{window}:{start_ms}"


def limits_told(partition: int, instance_id: str, window: str, start_ms: int) -> str:
    """Set: `<cap>:<permille>` of the thresholds of an instance's cap that were told in that window."""
    return f"{{p{partition}}}:limits_told:{instance_id}:{window}:{start_ms}"


def outbox(partition: int) -> str:
    """Stream: ledger entries the relay has yet to publish; ids are `<seq>-0`."""
    return f"{{p{partition}}}:outbox"


def applying(partition: int) -> str:
    """String: the `seq` of a batch that is being applied; there is none between two scripts."""
    return f"{{p{partition}}}:applying"


def outbox_sequence(partition: int) -> str:
    """String: the last `seq` written to the outbox."""
    return f"{{p{partition}}}:outbox_seq"


def answer(partition: int, run_id: str) -> str:
    """String: the answer a finished run gave (JSON), kept for `GET /v1/runs/{id}` and repeated requests."""
    return f"{{p{partition}}}:answer:{run_id}"


def idempotency(partition: int, instance_id: str, key: str) -> str:
    """Hash: `request` (digest of the body), `run_id`. The client's key is hashed: it may be anything."""
    return f"{{p{partition}}}:idempotency:{instance_id}:{sha256(key.encode()).hexdigest()}"


def widget_rate(partition: int, key_id: str, of: str) -> str:
    """String: the theoretical arrival time, in Unix µs, of what a widget's key lets through (`limits.lua`).

    `of`: `sessions` or `runs`, then `visitor`, `address` or `key`, then whose.
    """
    return f"{{p{partition}}}:widget_rate:{key_id}:{of}"


def widget_blocked(partition: int, key_id: str, start_ms: int) -> str:
    """Hash: origin that a widget's key does not allow → how often it tried on the day that began then.

    Bounded: further origins are counted together as `OTHER_ORIGINS`. Kept for eight days.
    """
    return f"{{p{partition}}}:widget_blocked:{key_id}:{start_ms}"


#: Where a day's hash counts the origins it has no room for.
OTHER_ORIGINS = "other"


# --- projections -------------------------------------------------------------------------------------------
# Those that change carry a `version` as the first member of their JSON, so that an older write never replaces
# a newer one. A revoked key stands there as `revoked` for an hour, and is gone then.


def api_key(digest: str) -> str:
    """String: `schemas.directory.ApiKeyRecord` (JSON) of the key with that SHA-256."""
    return f"api_key:{digest}"


def access_token(digest: str) -> str:
    """String: `schemas.directory.AccessTokenRecord` (JSON) of the token with that SHA-256."""
    return f"access_token:{digest}"


def instance(instance_id: str) -> str:
    """String: `schemas.directory.InstanceRecord` (JSON)."""
    return f"instance:{instance_id}"


def connectors(instance_id: str) -> str:
    """String: `schemas.directory.ConnectorsRecord` (JSON), credentials sealed."""
    return f"connectors:{instance_id}"


def conversation(instance_id: str, conversation: str) -> str:
    """List: the latest turns of a conversation (`runner.memory.Turn`, JSON), oldest first; it expires.

    `conversation` is `schemas.conversations.conversation_key`, so that no other's id leads to it.
    """
    return f"conversation:{instance_id}:{conversation}"


def org_instances(org_id: str) -> str:
    """Set: the ids of an org's instances."""
    return f"org_instances:{org_id}"


def price_book(version: str) -> str:
    """String: a `metering.prices.PriceBook` (JSON)."""
    return f"price_book:{version}"


def price_schedule(tenant_id: str) -> str:
    """String: which book a tenant's new runs are priced with from when (`metering.price_schedule`, JSON)."""
    return f"price_schedule:{tenant_id}"


def customer(provider: str, org_id: str) -> str:
    """String: `schemas.directory.CustomerRecord` (JSON): who an org is to a payment provider."""
    return f"customer:{provider}:{org_id}"


def projected() -> str:
    """String: the identity of the Redis that was given all projections (`kit.projections`)."""
    return "projected"


def key_last_used() -> str:
    """Hash: API key's id → Unix ms of its latest use: gateways note it, the control plane collects it."""
    return "key_last_used"


def session_secret() -> str:
    """String: what widget sessions are signed with, where no setting says so; made by the first gateway."""
    return "session_secret"


# --- channels ----------------------------------------------------------------------------------------------

#: Pub/sub: run ids to cancel, heard by every gateway.
CANCEL_CHANNEL = "runs:cancel"
#: Pub/sub: `schemas.directory.LimitState` (JSON) of wallets that ran out, heard by every gateway.
LIMIT_CHANNEL = "limits:changed"
#: Pub/sub: digests of keys that changed, or whose instance did, heard by every gateway.
KEY_CHANGED_CHANNEL = "keys:changed"
