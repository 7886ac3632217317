"""Where a source's bytes come from: the blob store, one address, or a site. They end up as files."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from ingestion.crawl import Crawl
from ingestion.errors import SourceFailed
from ingestion.parsing.job import Item
from ingestion.progress import Progress
from kit.blobs import BlobMissing, BlobStore
from kit.safe_http import Fetched, FetchFailed, FetchLimits, Resolve, SafeHttp, resolve_by_system
from kit.settings import IngestionSettings
from schemas.ingestion import IngestionRequest

_TOO_MUCH = "The pages are together larger than there is room for; this one and the rest were left out."


class Files(Struct, frozen=True):
    """What was fetched."""

    items: list[Item]
    page_errors: list[str]
    bytes: int


class Fetcher:
    """Fetches what a request names."""

    def __init__(
        self, blobs: BlobStore, settings: IngestionSettings, resolve: Resolve = resolve_by_system
    ) -> None:
        self._blobs = blobs
        self._settings = settings
        self._resolve = resolve

    async def fetch(self, request: IngestionRequest, folder: Path, progress: Progress) -> Files:
        """Return a request's files. Raises `SourceFailed`."""
        try:
            if request.kind == "url":
                return await self._url(request, folder)
            if request.kind == "site":
                return await self._site(request, folder, progress)
        except FetchFailed as failed:
            raise SourceFailed(failed.code, str(failed)) from failed
        return await self._blob(request, folder)

    async def _url(self, request: IngestionRequest, folder: Path) -> Files:
        most = self._settings.max_fetch_bytes
        async with self._http() as http:
            try:
                page = await http.get(request.url, min(most, request.max_bytes or most))
            except FetchFailed as failed:
                if failed.code == "too_large" and 0 < request.max_bytes < most:
                    raise SourceFailed("no_room") from failed
                raise
        return Files([_keep(page, request.title, folder, 0)], [], len(page.body))

    async def forget(self, request: IngestionRequest) -> None:
        """Delete the bytes of a source."""
        await self._blobs.delete(request.source_id)

    async def _blob(self, request: IngestionRequest, folder: Path) -> Files:
        path = folder / "blob"
        try:
            size = await self._blobs.fetch(request.source_id, request.blob, path)
        except BlobMissing as error:
            raise SourceFailed("blob_missing") from error
        if not size:
            raise SourceFailed("empty")
        if size > self._settings.max_file_bytes:
            raise SourceFailed("too_large")
        return Files([Item(path=str(path), title=request.title, url=request.url)], [], size)

    async def _site(self, request: IngestionRequest, folder: Path, progress: Progress) -> Files:
        settings = self._settings
        items: list[Item] = []
        most = settings.max_file_bytes
        most = room = min(most, request.max_bytes or most)
        async with self._http() as http:
            crawl = Crawl(
                http,
                request.url,
                min(max(request.max_pages, 1), settings.max_pages),
                request.max_depth,
                settings.crawl_delay_ms / 1000,
                settings.crawl_timeout_ms / 1000,
                settings.user_agent,
            )
            async for page in crawl.pages():
                if len(page.body) > room:
                    crawl.errors.append(f"{page.url[:300]}: {_TOO_MUCH}")
                    break
                room -= len(page.body)
                items.append(_keep(page, "", folder, len(items)))
                await progress.moved("fetching", len(items), 0, "pages")
        if not items:
            raise SourceFailed("no_pages", page_errors=tuple(crawl.errors))
        return Files(items, crawl.errors, most - room)

    def _http(self) -> SafeHttp:
        settings = self._settings
        limits = FetchLimits(
            settings.fetch_timeout_ms / 1000,
            settings.max_fetch_bytes,
            settings.max_redirects,
            settings.user_agent,
        )
        hosts = frozenset(host.strip() for host in settings.private_hosts.split(",") if host.strip())
        return SafeHttp(limits, hosts, self._resolve)


def _keep(page: Fetched, title: str, folder: Path, number: int) -> Item:
    path = folder / f"page{number}"
    path.write_bytes(page.body)
    return Item(path=str(path), title=title or page.url, url=page.url)
