"""A site's pages, politely: robots.txt decides, one request at a time, so deep and so many at most.

The site is the host that its first page leads to, whose robots.txt counts. It decides on where pages lead,
too, before that is asked for.
"""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

from protego import Protego

from ingestion.errors import SourceFailed
from kit.safe_http import Fetched, FetchFailed, SafeHttp

_SITEMAP = re.compile(rb"<(urlset|sitemapindex)\b")
_LOC = re.compile(r"<loc>\s*(?:<!\[CDATA\[\s*([^<>\s]+?)\s*\]\]>|([^<\s]+))\s*</loc>", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_MAX_ROBOTS_BYTES = 512_000
_MAX_SITEMAP_BYTES = 10_485_760
_MAX_SITEMAPS = 10
_MAX_LINKS_PER_PAGE = 1_000
_MAX_SEEN = 50_000
_MAX_QUEUE = 50_000
_MAX_DELAY_S = 10.0
_MAX_ERRORS = 20
_READ_TYPES = ("text/", "application/pdf", "application/xhtml", "application/vnd.openxmlformats", "")


@dataclass
class Crawl:
    """One crawl of one site. `errors` are the pages that were not read, and why."""

    http: SafeHttp
    start: str
    max_pages: int
    max_depth: int
    delay_s: float
    timeout_s: float
    user_agent: str
    errors: list[str] = field(default_factory=list)
    _host: str = field(init=False, default="")
    _robots: Protego = field(init=False)

    async def pages(self) -> AsyncIterator[Fetched]:
        """Yield the site's pages, the first one first. Raises `SourceFailed`, `FetchFailed` for that."""
        ends = time.monotonic() + self.timeout_s
        await self._enter(self.start)
        first = await self.http.get(self.start, led=self._enter)
        asked = float(self._robots.crawl_delay(self.user_agent) or 0)
        delay_s = min(max(self.delay_s, asked), _MAX_DELAY_S)
        seen = {_plain(self.start), _plain(first.url)}
        given = 0
        if not _is_sitemap(first):
            given = 1
            yield first
        queue = [(url, 1) for url in await self._begin(first)]
        while queue and given < self.max_pages and time.monotonic() < ends:
            url, depth = queue.pop(0)
            if _plain(url) in seen or urlsplit(url).netloc != self._host or len(seen) > _MAX_SEEN:
                continue
            seen.add(_plain(url))
            if not self._may(url):
                continue
            await asyncio.sleep(delay_s)
            page = await self._page(url)
            if page is None or (_plain(page.url) in seen and _plain(page.url) != _plain(url)):
                continue
            seen.add(_plain(page.url))
            given += 1
            yield page
            if depth < self.max_depth and len(queue) < _MAX_QUEUE:
                queue += [(link, depth + 1) for link in await links(page)]

    async def _enter(self, url: str) -> None:
        """Learn what a host allows before the first page there is asked for. Raises `SourceFailed`."""
        host = urlsplit(url).netloc
        if not self._host or host != self._host:
            self._host, self._robots = host, await self._rules(url)
        if not self._may(url):
            raise SourceFailed("robots_refused")

    async def _stay(self, url: str) -> None:
        """Raise `FetchFailed` when a page leads to where this crawl does not go."""
        if urlsplit(url).netloc != self._host:
            raise FetchFailed("elsewhere", "The page leads to another site; add that as one of its own.")
        if not self._may(url):
            raise FetchFailed("robots_refused", "The page leads to one that robots.txt does not want read.")

    def _may(self, url: str) -> bool:
        return bool(self._robots.can_fetch(url, self.user_agent))

    async def _begin(self, first: Fetched) -> list[str]:
        """Return where to go from the first page: what sitemaps list, else what it links to."""
        if _is_sitemap(first):
            return await self._sitemaps([first.url])
        if not self.max_depth:
            return []
        named = list(self._robots.sitemaps) or [urljoin(first.url, "/sitemap.xml")]
        listed = await self._sitemaps(named)
        return [*listed, *await links(first)]

    async def _page(self, url: str) -> Fetched | None:
        try:
            page = await self.http.get(url, led=self._stay)
        except FetchFailed as failed:
            self._error(url, str(failed))
            return None
        if not any(
            page.content_type.startswith(kind) for kind in _READ_TYPES if kind or not page.content_type
        ):
            return None
        return page

    async def _rules(self, url: str) -> Protego:
        try:
            found = await self.http.get(urljoin(url, "/robots.txt"), _MAX_ROBOTS_BYTES)
        except FetchFailed as failed:
            if failed.code in ("address_refused", "bad_address", "unknown_host"):
                raise
            if 400 <= failed.status < 500 or failed.code == "too_many_redirects":
                return Protego.parse("")
            # RFC 9309, 2.3.1.4: a site that cannot say what it allows allows nothing.
            raise SourceFailed("robots_unavailable") from failed
        return Protego.parse(found.body.decode(errors="replace"))

    async def _sitemaps(self, urls: list[str]) -> list[str]:
        """Return the pages of sitemaps, and of those that they list."""
        found: list[str] = []
        for _ in range(_MAX_SITEMAPS):
            if not urls or len(found) >= self.max_pages:
                break
            url = urls.pop(0)
            if urlsplit(url).netloc != self._host:
                continue
            try:
                answer = await self.http.get(url, _MAX_SITEMAP_BYTES)
            except FetchFailed:
                continue
            text = _unpacked(answer.body, _MAX_SITEMAP_BYTES).decode(errors="replace")
            located = [literal or loc.replace("&amp;", "&") for literal, loc in _LOC.findall(text)]
            if "<sitemapindex" in text:
                urls += located
            else:
                found += located
        return found[: self.max_pages * 2]

    def _error(self, url: str, reason: str) -> None:
        if len(self.errors) < _MAX_ERRORS:
            self.errors.append(f"{url[:300]}: {reason}"[:512])


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and len(self.found) < _MAX_LINKS_PER_PAGE:
            href = dict(attrs).get("href")
            if href:
                self.found.append(href)


def _is_sitemap(page: Fetched) -> bool:
    return bool(_SITEMAP.search(_unpacked(page.body, 4_096)))


def _unpacked(body: bytes, most: int) -> bytes:
    """Return the beginning of what is in a body, which for sitemaps may be a gzip file."""
    if not body.startswith(_GZIP):
        return body[:most]
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, most)
    except zlib.error:
        return b""


async def links(page: Fetched) -> list[str]:
    """Return the addresses that a page links to, in its order."""
    if page.content_type not in ("text/html", "application/xhtml+xml"):
        return []
    return await asyncio.to_thread(_links, page)


def _links(page: Fetched) -> list[str]:
    parser = _Links()
    parser.feed(page.body.decode(errors="replace"))
    found = []
    for href in parser.found:
        try:
            url = urldefrag(urljoin(page.url, href)).url
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            found.append(url)
    return list(dict.fromkeys(found))


def _plain(url: str) -> str:
    return urldefrag(url).url.rstrip("/")
