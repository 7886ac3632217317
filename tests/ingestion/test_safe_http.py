"""Addresses that strangers choose: what is fetched, and above all what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import web_site
from web_site import Site, limits

from kit.safe_http import Fetched, FetchFailed, Resolve, SafeHttp, refused, resolve_by_system

LOOPBACK = frozenset({"127.0.0.1"})


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with web_site.running() as found:
        found.add("/", "<p>hello</p>")
        yield found


async def get(
    url: str,
    hosts: frozenset[str] = LOOPBACK,
    resolve: Resolve = resolve_by_system,
    **changed: float,
) -> Fetched:
    async with SafeHttp(limits(**changed), hosts, resolve) as http:
        return await http.get(url)


async def refusal(
    url: str,
    hosts: frozenset[str] = LOOPBACK,
    resolve: Resolve = resolve_by_system,
    **changed: float,
) -> str:
    with pytest.raises(FetchFailed) as failed:
        await get(url, hosts, resolve, **changed)
    return failed.value.code


def answering(*rounds: list[str]) -> Resolve:
    """Return a resolver that answers something else each time it is asked."""
    left = list(rounds)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "not an address"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refused(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_let_through(address: str) -> None:
    assert not refused(address)


async def test_a_page_is_fetched(site: Site) -> None:
    found = await get(site.url())

    assert (found.status, found.content_type, found.body) == (200, "text/html", b"<p>hello</p>")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
async def test_no_spelling_of_loopback_is_fetched(site: Site, host: str) -> None:
    for port in (80, site.port):
        code = await refusal(f"http://{host}:{port}/", frozenset())

        assert code in ("address_refused", "unknown_host")
    assert site.asked == []


async def test_a_name_that_resolves_to_a_private_address_is_refused(site: Site) -> None:
    for addresses in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"], ["169.254.169.254"]):
        code = await refusal("http://docs.example.com/", frozenset(), answering(addresses))

        assert code == "address_refused"
    assert site.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "http://",
        "http://user:password@example.com/",
        "http://[broken/",
        "http://example.com:99999/",
        "http://example.com/" + "a" * 3_000,
    ],
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert await refusal(url) == "bad_address"


@pytest.mark.parametrize("port", [22, 6379, 9092, 18123])
async def test_other_services_ports_are_refused(port: int) -> None:
    assert await refusal(f"http://example.com:{port}/", frozenset()) == "address_refused"


@pytest.mark.parametrize(
    "target",
    ["http://localhost:{port}/secret", "http://[::1]/secret", "http://169.254.169.254/latest/", "file:///x"],
)
async def test_a_redirect_is_checked_like_the_first_address(site: Site, target: str) -> None:
    site.pages["/go"] = target.format(port=site.port)
    site.add("/secret", "secret")

    assert await refusal(site.url("/go")) in ("address_refused", "bad_address")
    assert site.asked == ["/go"]


async def test_a_redirect_within_what_is_allowed_is_followed(site: Site) -> None:
    site.pages["/go"] = "/there"
    site.add("/there", "here")

    found = await get(site.url("/go"))

    assert (found.url, found.body) == (site.url("/there"), b"here")


async def test_redirects_end(site: Site) -> None:
    site.pages["/go"] = "/go"

    assert await refusal(site.url("/go")) == "too_many_redirects"
    assert len(site.asked) == 4


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(site: Site) -> None:
    # The name is public when it is checked, and would be loopback when it is asked for again.
    flips = answering(["93.184.216.34"], ["127.0.0.1"])

    first = await refusal("http://flips.example.com/", frozenset(), flips, timeout_s=0.5)
    second = await refusal("http://flips.example.com/", frozenset(), flips)

    assert first in ("timeout", "unreachable", "http_error")
    assert second == "address_refused"
    assert site.asked == []


async def test_a_page_is_read_up_to_a_size_packed_or_not(site: Site) -> None:
    site.add("/large", "x" * 100_001)
    site.add("/packed", "x" * 10_000_000)

    assert await refusal(site.url("/large")) == "too_large"
    assert await refusal(site.url("/packed")) == "too_large"


async def test_a_slow_page_is_given_up(site: Site) -> None:
    site.slow_s = 1

    assert await refusal(site.url(), timeout_s=0.1) == "timeout"


async def test_an_error_of_the_site_is_told(site: Site) -> None:
    with pytest.raises(FetchFailed, match="404"):
        await get(site.url("/gone"))


async def test_a_name_that_does_not_exist_is_told() -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    assert await refusal("http://nowhere.example.com/", frozenset(), nowhere) == "unknown_host"
