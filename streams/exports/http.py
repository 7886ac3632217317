"""POSTing to a receiver that the operator named, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from streams.exports.port import Refused, Status, Unavailable

#: Answers that say something of us or of now, not of what was sent: worth another attempt.
_LATER = frozenset({401, 403, 404, 405, 407, 408, 410, 421, 423, 425, 429})
_MAX_TOLD = 300
_MAX_RETRY_AFTER_S = 300.0


class Poster:
    """A client for one address. It follows no redirects, keeps no cookies and reads little of an answer."""

    def __init__(self, timeout_ms: int) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_ms / 1000),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "Runmeter-Exports/1"},
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Return when the receiver answered with a 2xx. Raises `Unavailable` or `Refused`."""
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                if 200 <= response.status < 300:
                    return
                told = (await response.content.read(_MAX_TOLD)).decode("utf-8", "replace")
                text = f"the receiver answered with status {response.status}: {told}"
                if response.status in _LATER or not 400 <= response.status < 500:
                    raise Unavailable(text, retry_after_s=_asked_s(response.headers.get("Retry-After", "")))
                raise Refused(Status(f"status_{response.status}"), text)
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"the receiver cannot be reached: {error}", arrived=False) from error
        except TimeoutError as error:
            raise Unavailable("the receiver took too long to answer") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"the connection broke: {type(error).__name__}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _asked_s(header: str) -> float:
    return min(float(header), _MAX_RETRY_AFTER_S) if header.isdigit() else 0.0
