"""What a book would change: rates, sample runs, and what the tenant used in the last days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from console_api.prices import repository
from console_api.prices.models import Cost, Preview, RateChange, RatesTerms, Sample, UsagePreview
from console_api.prices.service import rates_view
from console_api.stores import Stores
from console_api.warehouse import WarehouseAway
from metering.prices import PriceBook
from metering.repricing import UsedTokens, above, thresholds, tokens_cost, tools_cost
from schemas.topics import DAY_MS

_DAYS = 7
_MOST_CHANGES = 200


class Comparison:
    """Two books. Without one that is in force the new one is compared with itself."""

    def __init__(self, before: PriceBook | None, after: PriceBook) -> None:
        self._before = before or after
        self._after = after
        self._bounds = thresholds(self._before, after)
        self._compared_with = before.version if before else None

    async def preview(
        self, stores: Stores, tenant_id: str, samples: Sequence[Sample], now_ms: int, *, published: bool
    ) -> Preview:
        """Return all of it; the usage is missing while ClickHouse is away."""
        usage = None
        used: list[UsedTokens] = []
        span = (now_ms - _DAYS * DAY_MS, now_ms)
        try:
            used = await repository.calls(stores, tenant_id, span, self._bounds)
            tools = await repository.tools(stores, tenant_id, span)
            usage = self._usage(span, used, tools, await repository.runs(stores, tenant_id, span))
        except WarehouseAway:
            pass  # what the samples cost is known all the same
        changed = self._changed()
        first = {row.model: place for place, row in reversed(list(enumerate(used)))}
        changed.sort(key=lambda change: (first.get(change.model, len(first)), change.model))
        return Preview(
            version=self._after.version,
            compared_with=self._compared_with,
            published=published,
            changes=changed[:_MOST_CHANGES],
            changed_models=len(changed),
            samples=[self._sample(sample) for sample in samples],
            usage=usage,
        )

    def _changed(self) -> list[RateChange]:
        before, after = self._before, self._after
        return [
            RateChange(model=model, before=_rates(before, model), after=_rates(after, model))
            for model in before.models.keys() | after.models.keys()
            if (before.models.get(model), before.tiers.get(model))
            != (after.models.get(model), after.tiers.get(model))
        ]

    def _usage(
        self, span: tuple[int, int], used: list[UsedTokens], tools: dict[str, int], runs: int
    ) -> UsagePreview:
        by_model: defaultdict[str, list[UsedTokens]] = defaultdict(list)
        for row in used:
            by_model[row.model].append(row)
        costs = [self._tokens(model, rows) for model, rows in by_model.items()]
        tool_costs = [
            Cost(
                name=tool,
                calls=calls,
                tokens_in=0,
                tokens_out=0,
                before_micro=tools_cost(self._before, tool, calls),
                after_micro=tools_cost(self._after, tool, calls),
            )
            for tool, calls in tools.items()
        ]
        fee = Cost(
            name="",
            calls=runs,
            tokens_in=0,
            tokens_out=0,
            before_micro=runs * self._before.per_run,
            after_micro=runs * self._after.per_run,
        )
        every = [*costs, *tool_costs, fee]
        return UsagePreview(
            from_ms=span[0],
            to_ms=span[1],
            models=costs,
            tools=tool_costs,
            runs=fee,
            before_micro=sum(cost.before_micro for cost in every),
            after_micro=sum(cost.after_micro for cost in every),
        )

    def _tokens(self, name: str, rows: Sequence[UsedTokens]) -> Cost:
        after = [tokens_cost(self._after, row, self._bounds) for row in rows]
        return Cost(
            name=name,
            calls=sum(row.calls for row in rows),
            tokens_in=sum(row.input_uncached + row.cache_read + row.cache_write for row in rows),
            tokens_out=sum(row.output for row in rows),
            before_micro=sum(tokens_cost(self._before, row, self._bounds).micro for row in rows),
            after_micro=sum(priced.micro for priced in after),
            unpriced=any(priced.unpriced for priced in after),
        )

    def _sample(self, sample: Sample) -> Cost:
        buckets = sample.model_dump(exclude={"tool_calls"})
        tokens_in = sample.input_uncached + sample.cache_read + sample.cache_write
        used = UsedTokens(calls=1, above_thresholds=above(self._bounds, tokens_in), **buckets)
        cost = self._tokens(sample.model, [used])
        for book, name in ((self._before, "before_micro"), (self._after, "after_micro")):
            fees = book.per_run + sample.tool_calls * book.per_tool_call
            setattr(cost, name, getattr(cost, name) + fees)
        return cost


def _rates(book: PriceBook, model: str) -> RatesTerms | None:
    rates = book.models.get(model)
    return rates_view(rates) if rates is not None else None
