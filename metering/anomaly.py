"""Whether an hour's spending is unusual: a robust outlier test against the hours it should be like.

The modified z-score of Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (ASQC, 1993), also in NIST's
e-Handbook of Statistical Methods, 1.3.5.17: with the median and the median absolute deviation (MAD) instead
of mean and standard deviation, so that an outlier of yesterday does not hide the one of today. A value counts
as one above 0.6745 · (x - median) / MAD = 3.5. Where more than half of a sample is one value, the MAD is 0;
then the mean absolute deviation takes its place (x - median) / (1.253314 · MeanAD), as in SPSS's reference.

An hour must be unusual both for its place in the week and beside the hours just before it: a Monday morning
is not unusual for being livelier than the night, nor is a week for being livelier than last month's.
All in integers: the bound is exact, whatever the amounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metering.windows import DAY_MS, WIDTH_MS

HOUR_MS: Final = WIDTH_MS["hour"]
WEEK_MS: Final = 7 * DAY_MS

_WEEKS = 4
_RECENT_HOURS = 24
#: With fewer hours of use in a sample, nothing is usual yet.
MIN_ACTIVE: Final = 6
#: However even the use was: less than this many times the median is not worth waking anybody.
_LEAST_TIMES = 2
#: 3.5 / 0.6745 MADs, and 3.5 · 1.253314 mean deviations.
_MADS = (35_000, 6_745)
_MEAN_ADS = (4_386_599, 1_000_000)


@dataclass(frozen=True)
class Usual:
    """What an hour like this one usually costs, and the most that is still usual; in micro-credits."""

    median_micro: int
    bound_micro: int


def alike(hour_ms: int) -> tuple[list[int], list[int]]:
    """Return the starts of the hours to compare an hour with.

    First the same hour of the week with its neighbours, of the four weeks before; then the 24 hours before.
    """
    weekly = [
        hour_ms - week * WEEK_MS + shift * HOUR_MS for week in range(1, _WEEKS + 1) for shift in (-1, 0, 1)
    ]
    return weekly, [hour_ms - back * HOUR_MS for back in range(1, _RECENT_HOURS + 1)]


def usual(samples: Sequence[Sequence[int]]) -> Usual | None:
    """Return what all samples together call usual; `None` if none of them knows enough."""
    known = [_of(sample) for sample in samples if sum(value > 0 for value in sample) >= MIN_ACTIVE]
    return max(known, key=lambda one: one.bound_micro, default=None)


def unusual(spent_micro: int, samples: Sequence[Sequence[int]], least_micro: int) -> Usual | None:
    """Return what would have been usual if an hour's spending is not; `None` if it is.

    Spending below `least_micro` never is unusual. An hour that goes on may be asked about: what it spent so
    far only grows.
    """
    if spent_micro < least_micro:
        return None
    known = usual(samples)
    return known if known is not None and spent_micro > known.bound_micro else None


def _of(sample: Sequence[int]) -> Usual:
    # Of an even number of values the median lies between two: all is counted in halves, MADs in quarters.
    twice = _twice_the_median(sample)
    deviations = [abs(2 * value - twice) for value in sample]
    four_mads = _twice_the_median(deviations)
    if four_mads:
        up, down = _MADS
        bound = (2 * down * twice + up * four_mads) // (4 * down)
    else:
        up, down = _MEAN_ADS
        bound = (down * len(sample) * twice + up * sum(deviations)) // (2 * down * len(sample))
    return Usual(twice // 2, max(bound, _LEAST_TIMES * twice // 2))


def _twice_the_median(sample: Sequence[int]) -> int:
    ordered, half = sorted(sample), len(sample) // 2
    return 2 * ordered[half] if len(ordered) % 2 else ordered[half - 1] + ordered[half]
