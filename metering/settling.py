"""Commands and charges → wallets: what is stored of one, and how a batch changes it and its ledger."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from metering import wallet as transitions
from metering.wallet import Grant, Wallet
from schemas.events import EntryKind, GrantEvent, LedgerEntry, LimitEvent

#: Shares of what a wallet held after its last credits were added; each is told once.
THRESHOLDS_PERMILLE = (500, 800, 1_000)


class StoredWallet(Struct, array_like=True):
    """A wallet as stored. `version` follows the log's clock, so that it grows even when Redis went back."""

    tenant_id: str
    wallet: Wallet = Wallet()
    version: int = 0
    #: Since when, and from how much, consumption is measured; the highest threshold that was told.
    period_start_ms: int = 0
    period_credit_micro: int = 0
    told_permille: int = 0


class Settled(Struct):
    """A wallet after a batch, with what the ledger and the alerts are to say about it."""

    stored: StoredWallet
    entries: list[LedgerEntry]
    limits: list[LimitEvent]


def grant_of(command: GrantEvent, as_of_ms: int) -> Grant:
    """Return what an `issue` gives. Raises `ValueError` if it makes no sense."""
    return Grant(
        command.grant_id,
        command.kind,
        command.amount_micro,
        command.priority,
        command.effective_at_ms or min(command.occurred_at_ms, as_of_ms),
        command.expires_at_ms,
        command.rollover_cap_micro,
        command.rollover_ms,
    )


def command_id(command: GrantEvent) -> str:
    """Return what makes a command apply once; an `expire` may apply as often as it likes."""
    return command.command_id or command.grant_id


def settle(
    org_id: str, stored: StoredWallet, commands: Sequence[GrantEvent], charged_micro: int, as_of_ms: int
) -> Settled:
    """Bring a wallet to `as_of_ms`, apply commands in order, then charge."""
    settling = _Settling(org_id, stored, as_of_ms)
    settling.pass_time()
    for command in commands:
        settling.apply(command)
    if charged_micro:
        settling.wallet, _ = transitions.charge(settling.wallet, charged_micro, as_of_ms)
    return settling.result()


class _Settling:
    def __init__(self, org_id: str, stored: StoredWallet, as_of_ms: int) -> None:
        self._org_id = org_id
        self._stored = stored
        self._as_of_ms = as_of_ms
        self._entries: list[LedgerEntry] = []
        self._credited = False
        self.wallet = stored.wallet

    def pass_time(self) -> None:
        due = {b.bucket_id: 0 for b in self.wallet.buckets if 0 < b.expires_at_ms <= self._as_of_ms}
        since_ms = self.wallet.as_of_ms
        self._credited = any(since_ms < b.effective_at_ms <= self._as_of_ms for b in self.wallet.buckets)
        self.wallet, movements = transitions.advance(self.wallet, self._as_of_ms)
        lost = {m.bucket_id: m.amount_micro for m in movements if m.kind == "expiry"}
        # Of every bucket that ended, even with nothing left: had it been applied before with another result,
        # this entry takes its place.
        for bucket_id, amount in {**due, **lost}.items():
            self._entry("expiry", f"{bucket_id}/expiry", bucket_id, amount, account="expired")

    def apply(self, command: GrantEvent) -> None:
        before = self.wallet
        match command.action:
            case "issue":
                grant = grant_of(command, self._as_of_ms)
                self.wallet, _ = transitions.issue(before, grant, self._as_of_ms)
                amount = self.wallet.granted_micro - before.granted_micro
                self._command("grant", command, amount, f"granted:{command.kind}")
                # What is to be used later is no credit yet.
                self._credited |= grant.effective_at_ms <= self._as_of_ms
            case "void":
                self.wallet, _ = transitions.void(before, command.grant_id, self._as_of_ms)
                self._command("void", command, before.voided_micro - self.wallet.voided_micro, "voided")
            case "refund":
                self.wallet, _ = transitions.refund(
                    before, command.grant_id, command.amount_micro, self._as_of_ms
                )
                amount = before.refunded_micro - self.wallet.refunded_micro
                self._command("refund", command, amount, "refunded")
            case "expire":
                # Time has passed already; there is nothing else to do.
                pass

    def result(self) -> Settled:
        stored, wallet = self._stored, self.wallet
        start, credit, told = stored.period_start_ms, stored.period_credit_micro, stored.told_permille
        left = transitions.balance(wallet, wallet.as_of_ms)
        if self._credited:
            # What was charged in this very batch is a part of the new period.
            spent = wallet.charged_micro - stored.wallet.charged_micro
            start, credit, told = self._as_of_ms, left + spent, 0
        crossed = [t for t in THRESHOLDS_PERMILLE if t > told and 0 < credit * t <= (credit - left) * 1_000]
        limits = [self._limit(t, credit - left, credit, start) for t in crossed]
        return Settled(
            StoredWallet(
                stored.tenant_id,
                wallet,
                max(stored.version + 1, self._as_of_ms),
                start,
                credit,
                crossed[-1] if crossed else told,
            ),
            self._entries,
            limits,
        )

    def _limit(self, permille: int, used: int, limit: int, start_ms: int) -> LimitEvent:
        return LimitEvent(
            event_id=f"{self._org_id}:{start_ms}:{permille}",
            tenant_id=self._stored.tenant_id,
            org_id=self._org_id,
            scope="org_wallet",
            used_permille=permille,
            used_micro=used,
            limit_micro=limit,
            period_start_ms=start_ms,
            occurred_at_ms=self._as_of_ms,
        )

    def _command(self, kind: EntryKind, command: GrantEvent, amount: int, account: str) -> None:
        self._entry(
            kind, command_id(command), command.grant_id, amount, account=account, reason=command.reason
        )

    def _entry(
        self, kind: EntryKind, entry_id: str, reference: str, amount: int, *, account: str, reason: str = ""
    ) -> None:
        self._entries.append(
            LedgerEntry(
                entry_id=entry_id,
                kind=kind,
                tenant_id=self._stored.tenant_id,
                org_id=self._org_id,
                amount_micro=amount,
                account=account,
                occurred_at_ms=self._as_of_ms,
                reference_id=reference,
                reason=reason,
            )
        )


def fields_of(stored: StoredWallet) -> list[str]:
    """Return the wallet's hash, flattened, as an admission reads it (`schemas.keys.wallet`)."""
    wallet = stored.wallet
    current, changes = transitions.schedule(wallet)
    return [
        "balance",
        str(current),
        "schedule",
        ";".join(f"{at_ms}:{delta}" for at_ms, delta in changes),
        "granted",
        str(wallet.granted_micro),
        "charged",
        str(wallet.charged_micro),
        "expired",
        str(wallet.expired_micro),
        "voided",
        str(wallet.voided_micro),
        "refunded",
        str(wallet.refunded_micro),
        "version",
        str(stored.version),
    ]


def changes_of(schedule: bytes | None) -> list[transitions.Change]:
    """Return what `fields_of` wrote as a wallet's `schedule`, in order."""
    pairs = (part.split(b":") for part in (schedule or b"").split(b";") if part)
    return [(int(at_ms), int(delta)) for at_ms, delta in pairs]


def balance_of(stored: StoredWallet) -> int:
    """Return what the wallet holds at the moment it was brought to."""
    return transitions.balance(stored.wallet, stored.wallet.as_of_ms)
