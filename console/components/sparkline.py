"""Small bars of the last hour, as inline SVG: no script, a kilobyte."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT, _GAP, _REST = 240, 44, 4, 2


def svg(values: Sequence[int], label: str) -> str:
    """Return the SVG. `label` says in words what it shows; it must hold no markup of others.

    Bars and not a line: the last point is still filling, and a line would show that as a fall.
    """
    top = max(values, default=0)
    step = (_WIDTH + _GAP) / max(1, len(values))
    bars = "".join(_bar(at * step, step - _GAP, value / top if top else 0) for at, value in enumerate(values))
    return (
        f'<svg class="rm-spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{bars}</svg>'
    )


def _bar(left: float, width: float, share: float) -> str:
    height = max(_REST, share * _HEIGHT)
    rest = "" if share else ' class="rm-spark__rest"'
    return (
        f'<rect x="{left:.1f}" y="{_HEIGHT - height:.1f}" width="{width:.1f}" height="{height:.1f}"{rest}/>'
    )
