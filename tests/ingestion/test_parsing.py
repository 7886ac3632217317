"""Every type that is read, and every way in which a file can be bad, in the real parsing process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import made_files
import pytest
from parsing_rig import read

from ingestion.errors import REMEDIES, SourceFailed

PDF_BEGIN = made_files.pdf("Parrots repeat what they hear.")


async def refusal(folder: Path, *files: bytes, **changed: Any) -> str:
    with pytest.raises(SourceFailed) as refused:
        await read(folder, *files, **changed)
    assert refused.value.text == REMEDIES[refused.value.code]
    return refused.value.code


async def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    found = await read(tmp_path, made_files.pdf("Parrots repeat what they hear.", "Returns take 30 days."))

    assert found.pages == 2
    assert [(chunk.page, chunk.text) for chunk in found.chunks] == [
        (1, "Parrots repeat what they hear."),
        (2, "Returns take 30 days."),
    ]


async def test_a_word_file_keeps_its_headings(tmp_path: Path) -> None:
    found = await read(
        tmp_path, made_files.docx("Returns", "Send it back within 30 days.", "No receipt is needed.")
    )

    text = " ".join(chunk.text for chunk in found.chunks)
    assert "within 30 days" in text
    assert found.chunks[0].section == "Returns"
    assert found.chunks[0].title == "file0"


async def test_a_workbook_is_read_sheet_by_sheet(tmp_path: Path) -> None:
    found = await read(
        tmp_path,
        made_files.xlsx(Prices=[["Item", "Price"], ["Widget", 12.5], [None, None]], Stock=[["Widget", 7]]),
    )

    assert [chunk.page for chunk in found.chunks] == [1, 2]
    assert "| Widget | 12.5 |" in found.chunks[0].text
    assert found.chunks[1].section == "Stock"


async def test_slides_are_read_one_by_one(tmp_path: Path) -> None:
    found = await read(tmp_path, made_files.pptx(("Roadmap", "Ship in May"), ("Risks", "Rain")))

    assert [chunk.page for chunk in found.chunks] == [1, 2]
    assert "Ship in May" in found.chunks[0].text
    assert "Rain" in found.chunks[1].text


async def test_a_web_page_is_read_without_what_surrounds_it(tmp_path: Path) -> None:
    prose = "The warranty covers five years of use, whatever the weather has been. " * 4
    page = (
        "<!doctype html><html><head><title>Warranty</title></head><body><nav><a href='/'>Home</a></nav>"
        f"<article><h2>Cover</h2><p>{prose}</p></article><footer>Imprint</footer></body></html>"
    )

    found = await read(tmp_path, page.encode())

    text = " ".join(chunk.text for chunk in found.chunks)
    assert "five years" in text
    assert "Imprint" not in text
    assert found.chunks[0].title == "Warranty"


ABOUT_HTML = "# Pages\n\nA page has a `<head>` and a <body>:\n\n<html><body><p>Hello.</p></body></html>"


@pytest.mark.parametrize("kind", ["documents", "text"])
async def test_a_text_about_html_is_read_as_it_stands(tmp_path: Path, kind: str) -> None:
    found = await read(tmp_path, ABOUT_HTML.encode(), kind=kind)

    text = "\n".join(chunk.text for chunk in found.chunks)
    assert all(word in text for word in ("`<head>`", "<body>:", "<p>Hello.</p>"))
    assert found.chunks[-1].section == "Pages"


async def test_a_text_is_one_even_if_it_is_nothing_but_html(tmp_path: Path) -> None:
    found = await read(tmp_path, b"<html><body><p>Hello there.</p></body></html>", kind="text")

    assert found.chunks[0].text.startswith("<html>")


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\ufeff\n",
        '<?xml version="1.0"?>\n<!-- made <body> by hand -->\n<!DOCTYPE html PUBLIC "x">',
        "<!doctype html>",
    ],
)
async def test_a_page_is_one_by_how_it_begins(tmp_path: Path, before: str) -> None:
    page = (
        f"{before}<html><head><title>Hours</title></head><body><p>Open from nine to five.</p></body></html>"
    )

    found = await read(tmp_path, page.encode())

    assert found.chunks[0].text == "Open from nine to five."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
async def test_text_is_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    said = "Größe und Maße der Möbel: für überall, wo Höhe zählt. Die Bücher stehen schön über den Türen."

    found = await read(tmp_path, said.encode(encoding))

    assert found.chunks[0].text.startswith("Größe und Maße") or encoding == "latin-1"
    assert "Bücher" in " ".join(chunk.text for chunk in found.chunks)


async def test_markdown_is_cut_along_its_headings_with_overlap(tmp_path: Path) -> None:
    said = "# Manual\n\n" + "".join(
        f"## Part {n}\n\n" + f"Sentence of part {n}. " * 30 + "\n\n" for n in range(3)
    )

    found = await read(tmp_path, said.encode())

    assert {chunk.section for chunk in found.chunks} >= {"Manual / Part 1", "Manual / Part 2"}
    assert [chunk.ordinal for chunk in found.chunks] == list(range(len(found.chunks)))


async def test_questions_and_answers_are_a_chunk_each(tmp_path: Path) -> None:
    pairs = [
        {"question": "When are you open?", "answer": "From 9 to 5."},
        {"question": "Where?", "answer": "Here."},
    ]

    found = await read(tmp_path, json.dumps(pairs).encode(), kind="qa")

    assert [chunk.text for chunk in found.chunks] == [
        "Question: When are you open?\nAnswer: From 9 to 5.",
        "Question: Where?\nAnswer: Here.",
    ]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (made_files.pdf("secret", encrypted=True), "encrypted"),
        (made_files.encrypted_office(), "encrypted"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2_000), "unsupported_type"),
        (PDF_BEGIN[: len(PDF_BEGIN) // 4], "corrupt"),
        (made_files.docx("x", "y")[:300], "corrupt"),
        (made_files.archive(**{"word/document.xml": "<not closed"}), "corrupt"),
        (made_files.archive(readme="hello"), "unsupported_type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "unsupported_type"),
        (b"MZ\x90\x00\x03" + bytes(512), "unsupported_type"),
        (b"{\\rtf1 hello}", "unsupported_type"),
        (made_files.pdf(""), "no_text"),
        (b"... --- ...", "no_text"),
        (made_files.zip_bomb(honest=True), "too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_bad_file_ends_with_its_reason(tmp_path: Path, data: bytes, code: str) -> None:
    assert await refusal(tmp_path, data) == code


async def test_what_is_small_packed_and_large_unpacked_ends_at_the_memory_limit(tmp_path: Path) -> None:
    bomb = made_files.zip_bomb(honest=False)

    assert len(bomb) < 1_000_000
    assert await refusal(tmp_path, bomb, memory_bytes=536_870_912) in ("too_large", "timeout")


@pytest.mark.parametrize(
    "changed",
    [{"max_pages": 2}, {"max_text_chars": 30}, {"max_chunks": 2}],
    ids=lambda changed: next(iter(changed)),
)
async def test_what_exceeds_a_limit_is_refused_whole(tmp_path: Path, changed: dict[str, int]) -> None:
    assert await refusal(tmp_path, made_files.pdf(*["A page of a book."] * 3), **changed) == "too_large"


async def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    assert await refusal(tmp_path, b"word " * 100_000, timeout_s=0.05) == "timeout"


async def test_a_process_that_uses_too_much_time_is_ended_by_the_system(tmp_path: Path) -> None:
    assert await refusal(tmp_path, b"a" * 900_000, cpu_s=1) in ("timeout", "too_large")


async def test_one_bad_file_among_many_is_named_and_skipped(tmp_path: Path) -> None:
    found = await read(tmp_path, b"good words", b"\x89PNG\r\n\x1a\n\x00", b"more good words")

    assert [chunk.url for chunk in found.chunks] == ["https://x.example/file0", "https://x.example/file2"]
    assert found.page_errors == [f"https://x.example/file1: {REMEDIES['unsupported_type']}"]


async def test_the_parsing_process_is_told_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestion.parsing.runner import _environment

    monkeypatch.setenv("RUNMETER_STRIPE_API_KEY", "sk_live_secret")

    assert "RUNMETER_STRIPE_API_KEY" in os.environ
    assert not any(name.startswith("RUNMETER") for name in _environment())
