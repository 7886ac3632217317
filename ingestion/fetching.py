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

_TOO_MUCH = "The site's pages are larger than allowed together; this one and the rest were left out."


class Files(Struct, frozen=True):
    """What was fetched."""

    items: list[Item]
    page_errors: list[str]


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
                async with self._http() as http:
                    return Files([_keep(await http.get(request.url), request.title, folder, 0)], [])
            if request.kind == "site":
                return await self._site(request, folder, progress)
        except FetchFailed as failed:
            raise SourceFailed(failed.code, str(failed)) from failed
        return await self._blob(request, folder)

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
        return Files([Item(path=str(path), title=request.title, url=request.url)], [])

    async def _site(self, request: IngestionRequest, folder: Path, progress: Progress) -> Files:
        settings = self._settings
        items: list[Item] = []
        room = settings.max_file_bytes
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
                room -= len(page.body)
                if room < 0:
                    crawl.errors.append(f"{page.url[:300]}: {_TOO_MUCH}")
                    break
                items.append(_keep(page, "", folder, len(items)))
                await progress.moved("fetching", len(items), 0, "pages")
        if not items:
            raise SourceFailed("no_pages", page_errors=tuple(crawl.errors))
        return Files(items, crawl.errors)

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
