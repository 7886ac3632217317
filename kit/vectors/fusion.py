"""One ranking out of two: reciprocal rank fusion, which needs no common scale (Cormack et al., 2009)."""

from __future__ import annotations

from collections.abc import Sequence

_RANK_CONSTANT = 60


def fuse(rankings: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
    """Return ids with their fused scores, best first; ties in the order of the first ranking."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            scores[name] = scores.get(name, 0) + 1 / (_RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda item: -item[1])
