"""A wallet against a model that ticks every millisecond and burns every micro-credit by itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from metering.wallet import (
    KEPT_EMPTY,
    Grant,
    Movements,
    Wallet,
    advance,
    balance,
    charge,
    charge_many,
    issue,
    next_due_ms,
    refund,
    schedule,
    void,
)

#: Few and small, so that ties, collisions and exact hits are common.
moments = st.integers(0, 12)
amounts = st.integers(1, 12)
later = st.integers(-2, 4)
names = st.sampled_from([f"grant_{letter}" for letter in "abcdefghijkl"])


@dataclass
class Pot:
    name: str
    priority: int
    start: int
    end: float
    size: int
    left: int
    cap: int = 0
    longer: int = 0


@dataclass
class Model:
    """What the wallet should be, as obvious as can be: one list, one unit and one millisecond at a time."""

    now: int = 0
    debt: int = 0
    pots: list[Pot] = field(default_factory=list)
    #: By grant: what expired or was voided.
    lapsed: Counter[str] = field(default_factory=Counter)

    def in_order(self) -> list[Pot]:
        return sorted(self.pots, key=lambda pot: (pot.priority, pot.end, pot.start, pot.name))

    def effective(self) -> list[Pot]:
        return [pot for pot in self.in_order() if pot.start <= self.now < pot.end]

    def until(self, moment: int) -> None:
        while self.now < moment:
            self.now += 1
            self.tidy()

    def tidy(self) -> None:
        for pot in list(self.pots):
            rolled = min(pot.left, pot.cap)
            if pot.end <= self.now and rolled:
                end = int(pot.end)
                self.pots.append(Pot(pot.name + "~1", pot.priority, end, end + pot.longer, rolled, rolled))
        for pot in self.pots:
            if pot.end <= self.now:
                self.lapsed[pot.name.removesuffix("~1")] += pot.left - min(pot.left, pot.cap)
        self.pots = [pot for pot in self.pots if pot.end > self.now]
        while self.debt and any(pot.left for pot in self.effective()):
            self.debt -= 1
            self.burn(1)
        empty = [pot.name for pot in self.in_order() if pot.left == 0 and pot.size > 0]
        self.pots = [pot for pot in self.pots if pot.left > 0 or pot.name in empty[-KEPT_EMPTY:]]

    def give(self, grant: Grant) -> None:
        if not self.named(grant.grant_id):
            end = grant.expires_at_ms or float("inf")
            amount, cap = grant.amount_micro, grant.rollover_cap_micro
            start, longer = grant.effective_at_ms, grant.rollover_ms
            self.pots.append(Pot(grant.grant_id, grant.priority, start, end, amount, amount, cap, longer))
            # What comes after its end goes through all its endings at once.
            self.tidy()
            self.tidy()

    def named(self, name: str) -> list[Pot]:
        return [pot for pot in self.pots if pot.name in (name, name + "~1")]

    def burn(self, amount: int) -> None:
        for _ in range(amount):
            full = [pot for pot in self.effective() if pot.left]
            if full:
                full[0].left -= 1
            else:
                self.debt += 1

    def charge(self, amount: int) -> None:
        self.burn(amount)
        for _ in range(-amount):
            roomy = [pot for pot in self.effective() if pot.left < pot.size]
            if self.debt:
                self.debt -= 1
            elif roomy:
                roomy[-1].left += 1
            elif self.named("returned"):
                self.named("returned")[0].size += 1
                self.named("returned")[0].left += 1
            else:
                self.pots.append(Pot("returned", 1_000, self.now, float("inf"), 1, 1))
        self.tidy()

    def void(self, name: str) -> None:
        for pot in self.named(name):
            self.lapsed[name] += pot.left
            self.pots.remove(pot)

    def refund(self, name: str, amount: int) -> None:
        rest = amount
        for pot in self.named(name):
            rest = max(amount - pot.left, 0)
            pot.left = max(pot.left - amount, 0)
            pot.size = max(pot.size - amount, 0)
        spared = min(rest, self.lapsed[name])
        self.lapsed[name] -= spared
        self.burn(rest - spared)
        self.tidy()


class WalletMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.wallet = Wallet()
        self.model = Model()
        self.ledger: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def record(self, movements: Movements) -> None:
        for movement in movements:
            assert movement.amount_micro != 0
            self.ledger[movement.bucket_id] += movement.amount_micro
            self.kinds[movement.kind] += movement.amount_micro

    @rule(
        name=names,
        amount=st.integers(1, 40),
        priority=st.sampled_from([0, 10, 10, 999]),
        starts_in=st.integers(-6, 10),
        lasts=st.integers(0, 12),
        cap=st.integers(0, 20),
        longer=st.integers(1, 4),
        later=later,
    )
    def issue(
        self,
        name: str,
        amount: int,
        priority: int,
        starts_in: int,
        lasts: int,
        cap: int,
        longer: int,
        later: int,
    ) -> None:
        start = max(self.wallet.as_of_ms + later + starts_in, 0)
        end = start + lasts if lasts else 0
        self.give(Grant(name, "promotion", amount, priority, start, end, cap, longer), later)

    @rule(names=st.lists(names, min_size=1, max_size=8, unique=True), amount=st.integers(1, 40))
    def top_up(self, names: list[str], amount: int) -> None:
        for name in names:
            self.give(Grant(name, "purchase", amount, 20, self.wallet.as_of_ms, 0), 0)

    @rule(name=names, amount=st.integers(1, 40), lasts=st.integers(1, 8), cap=st.integers(0, 20))
    def allow(self, name: str, amount: int, lasts: int, cap: int) -> None:
        now = self.wallet.as_of_ms
        self.give(Grant(name, "plan", amount, 10, now, now + lasts, cap, lasts), 0)

    def give(self, grant: Grant, later: int) -> None:
        as_of = self.wallet.as_of_ms + later
        self.wallet, movements = issue(self.wallet, grant, as_of)
        self.record(movements)
        self.model.until(as_of)
        self.model.give(grant)

    def grant_of(self, which: int) -> str:
        """Return a grant that is in the wallet, or was once, or never was."""
        known = [bucket.bucket_id.removesuffix("~1") for bucket in self.wallet.buckets]
        return known[which] if which < len(known) else "grant_a"

    @rule(amount=st.one_of(amounts, st.integers(-12, 60)), later=later)
    def charge(self, amount: int, later: int) -> None:
        as_of = self.wallet.as_of_ms + later
        self.wallet, movements = charge(self.wallet, amount, as_of)
        self.record(movements)
        self.model.until(as_of)
        self.model.charge(amount)

    @rule(batch=st.lists(st.integers(-6, 12), max_size=8), later=later)
    def charge_batch(self, batch: list[int], later: int) -> None:
        as_of = self.wallet.as_of_ms + later
        folded, each = self.wallet, []
        for amount in batch:
            folded, movements = charge(folded, amount, as_of)
            each.append(movements)

        self.wallet, batched = charge_many(self.wallet, batch, as_of)

        assert (self.wallet, batched) == (folded, each)
        if batch:
            self.model.until(as_of)
        for amount, movements in zip(batch, each, strict=True):
            self.record(movements)
            self.model.charge(amount)

    @rule(which=st.integers(0, 5), later=later)
    def void(self, which: int, later: int) -> None:
        name, as_of = self.grant_of(which), self.wallet.as_of_ms + later
        self.wallet, movements = void(self.wallet, name, as_of)
        self.record(movements)
        self.model.until(as_of)
        self.model.void(name)

    @rule(which=st.integers(0, 5), amount=amounts, later=later)
    def refund(self, which: int, amount: int, later: int) -> None:
        name, as_of = self.grant_of(which), self.wallet.as_of_ms + later
        self.wallet, movements = refund(self.wallet, name, amount, as_of)
        self.record(movements)
        self.model.until(as_of)
        self.model.refund(name, amount)

    @rule(cuts=st.lists(moments, min_size=1, max_size=4))
    def advance(self, cuts: list[int]) -> None:
        """Where time is cut does not matter, neither for the wallet nor for what it says it did."""
        moments = [self.wallet.as_of_ms + cut for cut in sorted(cuts)]
        stepped: Movements = ()
        wallet = self.wallet
        for moment in moments:
            wallet, movements = advance(wallet, moment)
            stepped += movements

        self.wallet, movements = advance(self.wallet, moments[-1])

        assert (wallet, stepped) == (self.wallet, movements)
        self.record(movements)
        self.model.until(moments[-1])

    @precondition(lambda self: next_due_ms(self.wallet))
    @rule()
    def advance_to_what_is_due(self) -> None:
        due = next_due_ms(self.wallet)
        assert due > self.wallet.as_of_ms
        assert advance(self.wallet, due - 1)[1] == ()

        self.wallet, movements = advance(self.wallet, due)

        assert movements
        self.record(movements)
        self.model.until(due)

    @invariant()
    def the_model_agrees(self) -> None:
        wallet, model = self.wallet, self.model
        assert (wallet.as_of_ms, wallet.debt_micro) == (model.now, model.debt)
        held = [(b.bucket_id, b.granted_micro, b.remaining_micro) for b in wallet.buckets]
        assert held == [(pot.name, pot.size, pot.left) for pot in model.in_order()]

    @invariant()
    def movements_are_the_ledger(self) -> None:
        held = {bucket.bucket_id: bucket.remaining_micro for bucket in self.wallet.buckets}
        held[""] = -self.wallet.debt_micro
        # A counter takes what is missing for zero.
        assert self.ledger == Counter(held)

    @invariant()
    def totals_are_the_sums_of_their_movements(self) -> None:
        wallet, moved = self.wallet, self.kinds
        assert wallet.granted_micro == moved["grant"]
        assert wallet.charged_micro == -moved["usage"] - moved["adjustment"]
        assert wallet.expired_micro == -moved["expiry"]
        assert wallet.voided_micro == -moved["void"]
        assert wallet.refunded_micro == -moved["refund"]
        assert moved["rollover"] == 0
        gone = wallet.charged_micro + wallet.expired_micro + wallet.voided_micro + wallet.refunded_micro
        held = sum(bucket.remaining_micro for bucket in wallet.buckets)
        assert wallet.granted_micro - gone == held - wallet.debt_micro

    @invariant()
    def nothing_is_negative_or_overfull_and_debt_means_nothing_is_left(self) -> None:
        wallet = self.wallet
        for bucket in wallet.buckets:
            assert 0 <= bucket.remaining_micro <= bucket.granted_micro
            assert not 0 < bucket.expires_at_ms <= wallet.as_of_ms
            assert not (
                wallet.debt_micro and bucket.remaining_micro and bucket.effective_at_ms <= wallet.as_of_ms
            )
        assert wallet.debt_micro >= 0
        assert sum(not bucket.remaining_micro for bucket in wallet.buckets) <= KEPT_EMPTY

    @invariant()
    def the_schedule_foretells_the_balance(self) -> None:
        now, changes = schedule(self.wallet, 1_000)
        assert now == balance(self.wallet, self.wallet.as_of_ms)
        assert all(delta for _, delta in changes)
        until = changes[-1][0] if changes else self.wallet.as_of_ms
        told, by_moment = now, dict(changes)
        for at in range(self.wallet.as_of_ms, until + 2):
            told += by_moment.get(at, 0)
            assert balance(advance(self.wallet, at)[0], at) == told

    @invariant()
    def a_cut_schedule_is_exact_before_its_last_change_and_never_too_high_after(self) -> None:
        now, changes = schedule(self.wallet, 1_000)
        for limit in range(1, len(changes)):
            assert schedule(self.wallet, limit)[0] == now
            cut = schedule(self.wallet, limit)[1]
            assert len(cut) == limit
            assert cut[:-1] == changes[: limit - 1]
            told = true = now + sum(delta for _, delta in cut[:-1])
            assert cut[-1][0] == changes[limit - 1][0]
            told += cut[-1][1]
            trues = []
            for _, delta in changes[limit - 1 :]:
                true += delta
                trues.append(true)
            assert told == min(trues)


WalletMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWalletAgainstItsModel = WalletMachine.TestCase
