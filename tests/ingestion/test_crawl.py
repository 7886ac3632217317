from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import web_site
from web_site import Site, limits

from ingestion.crawl import Crawl
from ingestion.errors import SourceFailed
from kit.safe_http import SafeHttp


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with web_site.running() as found:
        found.add("/", '<a href="/a">a</a> <a href="b#part">b</a> <a href="http://other.example.com/">o</a>')
        found.add("/a", '<a href="/deep">deep</a> <a href="/">home</a> <a href="/gone">gone</a>')
        found.add("/b", '<a href="/a">a</a> <a href="mailto:x@example.com">mail</a>')
        found.add("/deep", '<a href="/deeper">deeper</a>')
        found.add("/deeper", "the end")
        yield found


async def crawled(site: Site, max_pages: int = 20, max_depth: int = 5) -> tuple[list[str], list[str]]:
    async with SafeHttp(limits(), frozenset({"127.0.0.1"})) as http:
        crawl = Crawl(http, site.url(), max_pages, max_depth, 0, 30, "RunmeterBot/1.0")
        found = [page.url.removeprefix(site.url("")) async for page in crawl.pages()]
        return found, crawl.errors


async def test_links_are_followed_once_on_the_same_host(site: Site) -> None:
    found, errors = await crawled(site)

    assert found == ["/", "/a", "/b", "/deep", "/deeper"]
    assert len(site.asked) == len(set(site.asked))
    assert errors == [f"{site.url('/gone')}: The address answered with status 404."]


async def test_a_crawl_ends_at_its_depth_and_its_pages(site: Site) -> None:
    assert (await crawled(site, max_depth=0))[0] == ["/"]
    assert (await crawled(site, max_depth=1))[0] == ["/", "/a", "/b"]
    assert (await crawled(site, max_pages=2))[0] == ["/", "/a"]


async def test_robots_txt_decides(site: Site) -> None:
    site.add("/robots.txt", "User-agent: *\nDisallow: /a\n", "text/plain")

    assert (await crawled(site))[0] == ["/", "/b"]

    site.add("/robots.txt", "User-agent: RunmeterBot\nDisallow: /\n", "text/plain")
    with pytest.raises(SourceFailed, match="robots_refused"):
        await crawled(site)


async def test_sitemaps_list_what_is_not_linked(site: Site) -> None:
    site.add("/robots.txt", f"Sitemap: {site.url('/index.xml')}\n", "text/plain")
    site.add("/index.xml", f"<sitemapindex><loc>{site.url('/map.xml')}</loc></sitemapindex>", "text/xml")
    site.add(
        "/map.xml",
        f"<urlset><loc>{site.url('/hidden')}</loc><loc>http://x.example/</loc></urlset>",
        "text/xml",
    )
    site.add("/hidden", "not linked")

    assert (await crawled(site, max_depth=1))[0] == ["/", "/hidden", "/a", "/b"]


async def test_a_page_that_leads_to_another_host_is_left_out(site: Site) -> None:
    site.pages["/a"] = "http://localhost:1/"

    found, errors = await crawled(site, max_depth=1)

    assert found == ["/", "/b"]
    assert len(errors) == 1


async def test_a_sitemap_may_be_given_itself(site: Site) -> None:
    site.add("/map.xml", f"<urlset><url><loc>{site.url('/deep')}</loc></url></urlset>", "application/xml")

    async with SafeHttp(limits(), frozenset({"127.0.0.1"})) as http:
        crawl = Crawl(http, site.url("/map.xml"), 9, 0, 0, 30, "RunmeterBot/1.0")
        found = [page.url async for page in crawl.pages()]

    assert found == [site.url("/deep")]


async def test_a_site_whose_robots_txt_fails_is_not_read(site: Site) -> None:
    site.failing.add("/robots.txt")

    with pytest.raises(SourceFailed) as failed:
        await crawled(site)

    assert failed.value.code == "robots_unavailable"
    assert site.asked == ["/robots.txt"]
