"""What is built once per process and handed to every page."""

from __future__ import annotations

from dataclasses import dataclass

from console.api import ApiClient
from console.live import LiveFeeds
from console.session import Sessions


@dataclass(frozen=True)
class Services:
    """The API client, the live feeds over it, the visitors' sessions, and where agents answer."""

    api: ApiClient
    feeds: LiveFeeds
    sessions: Sessions
    gateway_url: str
