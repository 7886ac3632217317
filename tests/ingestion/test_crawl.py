from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from urllib.parse import urljoin

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


async def crawled(
    site: Site, max_pages: int = 20, max_depth: int = 5, begin: str = "/"
) -> tuple[list[str], list[str]]:
    async with SafeHttp(limits(), frozenset({"127.0.0.1"})) as http:
        start = urljoin(site.url(), begin)
        crawl = Crawl(http, start, max_pages, max_depth, 0, 30, "RunmeterBot/1.0")
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


async def test_sitemaps_may_be_packed_and_name_addresses_literally(site: Site) -> None:
    listed = (
        f"<urlset><loc><![CDATA[ {site.url('/hidden?a=1&b=2')} ]]></loc>"
        f"<loc>{site.url('/secret?a=1&amp;b=2')}</loc></urlset>"
    )
    site.add("/robots.txt", f"Sitemap: {site.url('/map.xml.gz')}\n", "text/plain")
    site.pages["/map.xml.gz"] = ("application/gzip", gzip.compress(listed.encode()))
    site.add("/hidden", "not linked")
    site.add("/secret", "not linked")
    hidden = ["/hidden?a=1&b=2", "/secret?a=1&b=2"]

    assert (await crawled(site, max_depth=1))[0] == ["/", *hidden, "/a", "/b"]
    assert (await crawled(site, begin="/map.xml.gz", max_depth=0))[0] == hidden

    site.pages["/map.xml.gz"] = ("application/gzip", gzip.compress(listed.encode())[:12] + b"broken")
    assert (await crawled(site, max_depth=1))[0] == ["/", "/a", "/b"]


async def test_a_page_that_leads_to_another_host_is_left_out_and_that_is_not_asked(site: Site) -> None:
    async with web_site.running() as other:
        other.add("/", "elsewhere")
        site.pages["/a"] = other.url()

        found, errors = await crawled(site, max_depth=1)

    assert found == ["/", "/b"]
    assert [error.partition(": ")[0] for error in errors] == [site.url("/a")]
    assert other.asked == []


async def test_a_page_that_leads_to_what_robots_txt_forbids_is_left_out(site: Site) -> None:
    site.add("/robots.txt", "User-agent: *\nDisallow: /private\n", "text/plain")
    site.add("/private/1", "not for robots")
    site.pages["/a"] = "/private/1"

    found, errors = await crawled(site, max_depth=1)

    assert found == ["/", "/b"]
    assert len(errors) == 1
    assert "/private/1" not in site.asked


async def test_a_site_is_where_its_first_page_leads_and_what_that_allows(site: Site) -> None:
    async with web_site.running() as old:
        old.add("/robots.txt", "User-agent: *\nDisallow: /a\n", "text/plain")
        old.pages["/"] = site.url()
        site.add("/robots.txt", "User-agent: *\nDisallow: /b\n", "text/plain")

        assert (await crawled(site, begin=old.url(), max_depth=1))[0] == ["/", "/a"]
        assert old.asked == ["/robots.txt", "/"]

        site.asked.clear()
        site.add("/robots.txt", "User-agent: *\nDisallow: /\n", "text/plain")
        with pytest.raises(SourceFailed, match="robots_refused"):
            await crawled(site, begin=old.url())
        assert site.asked == ["/robots.txt"]


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
