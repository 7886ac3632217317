"""The widget's script as a file: its size, its headers, and what becomes of an answer's markdown."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.async_api import Browser
from widget_browser import CHROMIUM, chromium

from gateway.widget import script, script_endpoints

_STATIC = Path(script.__file__).with_name("static")


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(script_endpoints.router)
    with TestClient(app) as opened:
        yield opened


def test_it_is_small() -> None:
    made = script.build()

    assert len(made.plain) < 25_000
    assert len(made.zipped) < 10_000


def test_it_parses_nothing_as_html_and_runs_no_text() -> None:
    source = script.build().plain.decode()

    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert forbidden not in source


def test_every_page_may_embed_and_keep_it(client: TestClient) -> None:
    answer = client.get("/widget.js", headers={"Accept-Encoding": "identity"})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "max-age=3600" in answer.headers["Cache-Control"]
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.content == script.build().plain


def test_a_copy_that_is_the_latest_is_not_sent_again(client: TestClient) -> None:
    plain = client.get("/widget.js", headers={"Accept-Encoding": "identity"})
    zipped = client.get("/widget.js", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.content == plain.content == gzip.decompress(script.build().zipped)
    assert plain.headers["ETag"] != zipped.headers["ETag"]

    for tag in (zipped.headers["ETag"], f'"other", W/{zipped.headers["ETag"]}', "*"):
        again = client.get("/widget.js", headers={"If-None-Match": tag, "Accept-Encoding": "gzip"})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == zipped.headers["ETag"]
    changed = client.get("/widget.js", headers={"If-None-Match": '"older"'})
    assert changed.status_code == 200


def test_asking_whether_it_is_there(client: TestClient) -> None:
    answer = client.head("/widget.js")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the PATH")
    async with chromium() as opened:
        yield opened


async def rendered(browser: Browser, text: str) -> str:
    """Return the HTML that a text becomes, as the browser writes it down."""
    page = await browser.new_page()
    source = (_STATIC / "markdown.js").read_text()
    show = "const box = document.createElement('div'); box.append(...markdown(text)); return box.innerHTML;"
    made: str = await page.evaluate(f"text => {{ {source}\n{show} }}", text)
    await page.close()
    return made


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** *c* _d_ `e*f*`", "<p>a <strong>b</strong> <em>c</em> <em>d</em> <code>e*f*</code></p>"),
        ("one\ntwo\n\nthree", "<p>one\ntwo</p><p>three</p>"),
        ("- a\n- b\n  more", "<ul><li>a</li><li>b\n  more</li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("```py\n<b>x</b>\n```", '<pre tabindex="0"><code>&lt;b&gt;x&lt;/b&gt;</code></pre>'),
        ("```\nunfinished", '<pre tabindex="0"><code>unfinished</code></pre>'),
        ("## A heading", "<p><strong>A heading</strong></p>"),
        ("snake_case_name and 2 * 3 * 4", "<p>snake_case_name and 2 * 3 * 4</p>"),
        ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
        ("[x](javascript:alert) [y](data:text/html,z)", "<p>x y</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](/relative)", "<p>x</p>"),
    ],
)
async def test_markdown_becomes_nodes(browser: Browser, text: str, html: str) -> None:
    assert await rendered(browser, text) == html


async def test_links_open_elsewhere_and_tell_nothing(browser: Browser) -> None:
    made = await rendered(
        browser, "See [this](https://a.example/x), https://b.example/y. [m](mailto:a@b.example)"
    )

    told = 'target="_blank" rel="noopener noreferrer nofollow"'
    assert made == (
        f'<p>See <a href="https://a.example/x" {told}>this</a>, '
        f'<a href="https://b.example/y" {told}>https://b.example/y</a>. '
        f'<a href="mailto:a@b.example" {told}>m</a></p>'
    )


@pytest.mark.parametrize("piece", ["[", "*", "`", "_a ", "**", "- ", "```\n", "http://", "[a](", "#"])
async def test_no_text_makes_it_slow(browser: Browser, piece: str) -> None:
    page = await browser.new_page()
    source = (_STATIC / "markdown.js").read_text()
    timed = "const began = performance.now(); markdown(text); return performance.now() - began;"
    took = await page.evaluate(
        f"text => {{ {source}\n{timed} }}",
        piece * (16_000 // len(piece)),
    )
    await page.close()

    assert took < 10_000
