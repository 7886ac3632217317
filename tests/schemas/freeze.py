"""`PYTHONPATH=. python tests/schemas/freeze.py`: freeze new topics and optional fields that were added.

What would break a reader is not written; such a change needs a new event version.
"""

from __future__ import annotations

import json
import sys

from additive import breaks, live_schema, schema_file

from schemas import topics


def main() -> int:
    failed = 0
    for topic in topics.ALL:
        path, live = schema_file(topic), live_schema(topic)
        broken = breaks(json.loads(path.read_text()), live) if path.exists() else []
        failed += len(broken)
        for line in broken:
            print(f"{topic.name}: {line}", file=sys.stderr)
        if not broken:
            path.write_text(json.dumps(live, indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
