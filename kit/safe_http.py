"""Fetches addresses that strangers chose, without becoming their way into our network.

Each hop is checked by itself: the scheme, the port, and *all* addresses the name resolves to. The connection
is made to the very addresses that were checked, so a name that changes in between changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit, urlunsplit

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

#: (host, port) → addresses.
Resolve = Callable[[str, int], Awaitable[list[str]]]

#: Told where an address leads, before that is asked for; what it raises ends the fetch.
Led = Callable[[str], Awaitable[None]]

_PORTS = frozenset({80, 443, 8000, 8080, 8443})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_URL = 2_048
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchFailed(Exception):
    """An address could not be fetched; `code` is a stable word, the text what its owner can do."""

    def __init__(self, code: str, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.code = code
        #: What the address answered with; 0: nothing.
        self.status = status


class _Refused(Exception):
    """A connection to a private address was about to be made."""


@dataclass(frozen=True)
class Fetched:
    """What an address answered, after redirects."""

    url: str
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What an address answered, whatever its status. Names of `headers` are as they were sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header's value; empty if there is none."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


@dataclass(frozen=True)
class FetchLimits:
    """What one fetch may take."""

    timeout_s: float
    max_bytes: int
    max_redirects: int
    user_agent: str


def refused(address: str) -> bool:
    """Return whether an IP address is not one of the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return refused(str(inner))
    return not ip.is_global or ip.is_multicast or ip.is_reserved


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses of a name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(item[4][0]) for item in found]


class _Checked(AbstractResolver):
    """Gives the connector checked addresses only. Its answer is what is connected to: nobody asks again."""

    def __init__(self, resolve: Resolve, private_hosts: frozenset[str]) -> None:
        self._resolve = resolve
        self._private_hosts = private_hosts
        #: Addresses that may be connected to although they are private.
        self.private = set(private_hosts)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise FetchFailed("unknown_host", f"There is no host {host}; check the address.") from error
        if host in self._private_hosts:
            self.private.update(addresses)
        elif any(refused(address) for address in addresses):
            raise _private(host)
        return [_result(host, port, address) for address in dict.fromkeys(addresses)]

    async def close(self) -> None:
        """Nothing is open."""


class SafeHttp:
    """A client for addresses that strangers chose. Use it as a context; it keeps no cookies."""

    def __init__(
        self, limits: FetchLimits, private_hosts: frozenset[str], resolve: Resolve = resolve_by_system
    ) -> None:
        self._limits = limits
        self._private_hosts = private_hosts
        self._resolver = _Checked(resolve, private_hosts)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            limit=8,
            force_close=True,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._limits.user_agent, "Accept": "text/html,*/*;q=0.8"},
            timeout=aiohttp.ClientTimeout(total=self._limits.timeout_s),
            trust_env=False,
            max_line_size=16_384,
            max_field_size=16_384,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """Return a socket for an address that is about to be connected to: the last word on it."""
        family, kind, proto, _, address = info
        if refused(str(address[0])) and str(address[0]) not in self._resolver.private:
            raise _Refused(f"{address[0]} is not public")
        return socket.socket(family, kind, proto)

    async def get(self, url: str, max_bytes: int = 0, led: Led | None = None) -> Fetched:
        """Return what an address answers with a 2xx. Raises `FetchFailed`, and whatever `led` raises."""
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._follow(url, max_bytes or self._limits.max_bytes, led)
        except _Refused as error:
            raise _private(urlsplit(url).hostname or "The host") from error
        except TimeoutError as error:
            raise FetchFailed("timeout", "The address took too long to answer; try again later.") from error
        except aiohttp.ClientError as error:
            raise _failed(error) from error

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """Return whatever an address answers, without following it elsewhere. Raises `FetchFailed`."""
        assert self._session is not None, "use the client as a context"
        checked = check_url(url, self._private_hosts)
        try:
            async with (
                asyncio.timeout(self._limits.timeout_s),
                self._session.request(
                    method, URL(checked, encoded=True), headers=headers, data=body, allow_redirects=False
                ) as response,
            ):
                read = await _read(response, self._limits.max_bytes, "answer")
                return Reply(response.status, dict(response.headers), read)
        except _Refused as error:
            raise _private(urlsplit(url).hostname or "The host") from error
        except TimeoutError as error:
            raise FetchFailed("timeout", "The address took too long to answer; try again later.") from error
        except aiohttp.ClientError as error:
            raise _failed(error) from error

    async def _follow(self, url: str, max_bytes: int, led: Led | None) -> Fetched:
        for _ in range(self._limits.max_redirects + 1):
            checked = check_url(url, self._private_hosts)
            answer = await self._once(checked, max_bytes)
            if isinstance(answer, Fetched):
                return answer
            url = urljoin(checked, answer)
            if led is not None:
                await led(url)
        raise FetchFailed("too_many_redirects", "The address leads on and on; give the final one.")

    async def _once(self, url: str, max_bytes: int) -> Fetched | str:
        """Return the answer, or where it leads."""
        assert self._session is not None, "use the client as a context"
        async with self._session.get(url, allow_redirects=False) as response:
            location = response.headers.get("Location", "")
            if response.status in _REDIRECTS and location:
                return location
            if not 200 <= response.status < 300:
                text = f"The address answered with status {response.status}."
                raise FetchFailed("http_error", text, response.status)
            body = await _read(response, max_bytes, "page")
            return Fetched(url, response.status, _media_type(response.headers), body)


async def _read(response: aiohttp.ClientResponse, max_bytes: int, what: str) -> bytes:
    body = bytearray()
    # What is counted is what was unpacked: a small answer may be a large page.
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed("too_large", f"The {what} is larger than {max_bytes} bytes.")
    return bytes(body)


def check_url(url: str, private_hosts: frozenset[str]) -> str:
    """Return the address without its fragment. Raises `FetchFailed` for one that is not fetched."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise FetchFailed("bad_address", "That is not a web address.") from error
    if parts.scheme not in ("http", "https") or not host or len(url) > _MAX_URL:
        raise FetchFailed("bad_address", "Give an address that begins with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise FetchFailed("bad_address", "Give an address without a user name or password in it.")
    if host in private_hosts:
        return urlunsplit(parts._replace(fragment=""))
    if port is not None and port not in _PORTS:
        raise FetchFailed("address_refused", f"Port {port} is not fetched; use 80 or 443.")
    # A literal address never meets the resolver.
    if _is_literal(host) and refused(host):
        raise _private(host)
    return urlunsplit(parts._replace(fragment=""))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        # The system also takes `127.1`, `0x7f.1` and `2130706433`; `refused` takes none of them.
        with contextlib.suppress(OSError):
            socket.inet_aton(host)
            return True
        return False
    return True


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


def _private(host: str) -> FetchFailed:
    return FetchFailed(
        "address_refused", f"{host} is in a private network; give one that is reachable from the internet."
    )


def _failed(error: aiohttp.ClientError) -> FetchFailed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FetchFailed):
            return cause
        cause = cause.__cause__
    return FetchFailed("unreachable", "The address could not be reached; check it, or try again later.")


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()
