"""Ways from an agent to other systems: what each kind needs, what it can do, and how it is tried out.

Owns: the requests that go out, and what their answers mean. Does not own: whose connector it is and where its
credentials are kept (the console API), and when it is called (the runner).
"""

from __future__ import annotations

from collections.abc import Mapping

from kit.connectors import hubspot, rest, slack, webhook, zendesk
from kit.connectors.port import Kind

_KINDS = (rest.KIND, webhook.KIND, hubspot.KIND, slack.KIND, zendesk.KIND)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
