"""What an instance's model calls are like: what a run will probably cost, as against what it might."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Hashable

_CALLS = 200
_LEAST_CALLS = 20
_KEYS = 10_000


class _Recent:
    """The last numbers, by age and by size."""

    def __init__(self) -> None:
        self.by_age: deque[int] = deque()
        self.by_size: list[int] = []

    def add(self, number: int) -> None:
        if len(self.by_age) >= _CALLS:
            del self.by_size[bisect_left(self.by_size, self.by_age.popleft())]
        self.by_age.append(number)
        insort(self.by_size, number)


class _Memory:
    """Recent numbers of each key; the keys used last are kept."""

    def __init__(self) -> None:
        self._of: OrderedDict[Hashable, _Recent] = OrderedDict()

    def add(self, key: Hashable, number: int) -> None:
        known = self._of.get(key)
        if known is None:
            known = self._of[key] = _Recent()
            if len(self._of) > _KEYS:
                self._of.popitem(last=False)
        else:
            self._of.move_to_end(key)
        known.add(number)

    def sorted(self, key: Hashable) -> list[int]:
        """Return a key's numbers, ascending; none while they are too few to go by."""
        known = self._of.get(key)
        return known.by_size if known is not None and len(known.by_size) >= _LEAST_CALLS else []


class CallHistory:
    """The last finished calls. In process: it is a guess, and may be lost."""

    def __init__(self) -> None:
        self._outputs = _Memory()
        self._excesses = _Memory()

    def learn_output(self, instance_id: str, output_tokens: int) -> None:
        """Take note of an answer that ended by itself: one that was cut short says nothing."""
        self._outputs.add(instance_id, output_tokens)

    def learn_excess(self, instance_id: str, model: str, tools: int, tokens: int) -> None:
        """Take note of how many more input tokens the provider counted than were counted here."""
        self._excesses.add((instance_id, model, tools), max(0, tokens))

    def p99(self, instance_id: str) -> int | None:
        """Return the output that 99 of 100 calls do not exceed; `None` while too few are known."""
        lengths = self._outputs.sorted(instance_id)
        # Nearest rank: the smallest length that at least 99 % are within.
        return lengths[-(-99 * len(lengths) // 100) - 1] if lengths else None

    def excess(self, instance_id: str, model: str, tools: int) -> int | None:
        """Return the largest excess of such calls; `None` while too few are known."""
        found = self._excesses.sorted((instance_id, model, tools))
        return found[-1] if found else None
