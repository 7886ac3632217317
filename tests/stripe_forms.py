"""Stripe's way of writing nested parameters as a form: `a[b][0][c]=1`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl


def parsed(form: str) -> dict[str, Any]:
    """Return the parameters as they were before they were flattened; leaves are strings."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        place: Any = found
        for part, after in zip([first, *rest], rest, strict=False):
            empty: Any = [] if after.isdigit() or not after else {}
            if isinstance(place, list):
                if len(place) <= int(part or 0):
                    place.append(empty)
                place = place[int(part or len(place) - 1)]
            else:
                place = place.setdefault(part, empty)
        last = [first, *rest][-1]
        if isinstance(place, list):
            place.append(value)
        else:
            place[last] = value
    return found
