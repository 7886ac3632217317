"""How long servers keep a connection on which nobody asks.

Longer than any client does: it is the side that asks next that must close one. Closed by the server under a
request, a connection is an error to whoever sent it.
"""

from __future__ import annotations

#: Our clients close theirs after 15 s, or 60 s; reverse proxies commonly after 60 s.
KEEP_ALIVE_S = 75
