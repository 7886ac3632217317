"""Tables keep their columns, however long they are, and whatever file they come in."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import made_files
import pytest
from parsing_rig import read

from kit import tokens

HEADER = ["Article", "Price in euros", "Delivered to"]
HEAD = "| Article | Price in euros | Delivered to |\n| --- | --- | --- |\n"
ROWS: list[list[object]] = [[f"Widget {n}", n, "Norway, Sweden"] for n in range(60)]


def as_csv(delimiter: str = ",", newline: str = "\n") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=newline).writerows([HEADER, *ROWS])
    return out.getvalue().encode()


async def test_every_piece_of_a_long_sheet_names_the_columns(tmp_path: Path) -> None:
    found = await read(tmp_path, made_files.xlsx(Prices=[list(HEADER), *ROWS], Stock=[["Where"], ["Oslo"]]))

    prices = [chunk.text for chunk in found.chunks if chunk.page == 1 and chunk.text != "# Prices"]
    assert len(prices) > 5
    assert all(text.startswith(("# Prices", HEAD)) and text.count(HEAD) == 1 for text in prices)
    assert all(tokens.count(text, "gpt-4o") <= 60 for text in prices)
    assert all(any(f"| Widget {n} | {n} |" in text for text in prices) for n in range(60))
    assert {chunk.section for chunk in found.chunks} == {"Prices", "Stock"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (as_csv(), "prices.csv"),
        (as_csv(";", "\r\n"), "Prices.CSV"),
        (as_csv("\t"), "prices.tsv"),
        (b"\xef\xbb\xbf" + as_csv(), "prices.csv"),
        (as_csv(";").replace(b"Article", b'"Article"'), "prices.csv"),
    ],
    ids=["commas", "semicolons", "tabs", "marked", "quoted"],
)
async def test_a_csv_is_the_table_that_a_sheet_is(tmp_path: Path, data: bytes, name: str) -> None:
    found = await read(tmp_path, data, names=[name])
    sheet = await read(tmp_path, made_files.xlsx(Prices=[list(HEADER), *ROWS]), chunk_tokens=4_000)
    whole = await read(tmp_path, data, names=[name], chunk_tokens=4_000)

    assert all(chunk.text.startswith(HEAD) for chunk in found.chunks)
    assert [chunk.text for chunk in whole.chunks] == [sheet.chunks[0].text.removeprefix("# Prices\n\n")]


async def test_cells_of_a_csv_may_hold_anything(tmp_path: Path) -> None:
    data = b'Name,Says\nPolly,"Hello, ""you"" | there\nand here"\n\nJack,\n'

    found = await read(tmp_path, data, names=["birds.csv"])

    assert found.chunks[0].text.splitlines() == [
        "| Name | Says |",
        "| --- | --- |",
        '| Polly | Hello, "you" \\| there and here |',
        "| Jack |  |",
    ]


async def test_what_only_calls_itself_a_csv_is_text(tmp_path: Path) -> None:
    found = await read(tmp_path, b"Parrots\nrepeat\nwhat\nthey\nhear", names=["notes.csv"])

    assert found.chunks[0].text == "Parrots\nrepeat\nwhat\nthey\nhear"


async def test_json_is_read_as_it_stands(tmp_path: Path) -> None:
    hours = [{"day": f"Day {n}", "opens": "09:00", "note": "Größe zählt"} for n in range(40)]
    data = json.dumps(hours, indent=2, ensure_ascii=False).encode()

    found = await read(tmp_path, data, names=["hours.json"])

    text = "\n".join(chunk.text for chunk in found.chunks)
    assert all(f'"day": "Day {n}"' in text for n in range(40))
    assert '"note": "Größe zählt"' in text


async def test_a_table_in_a_text_names_its_columns_and_what_follows_it_does_not(tmp_path: Path) -> None:
    rows = "".join(f"| Widget {n} | {n} | Norway |\n" for n in range(30))
    after = "\n".join(f"Sentence {n} is about returns within thirty days.\n" for n in range(20))

    found = await read(tmp_path, f"# Prices\n\nAll of them:\n\n{HEAD}{rows}\n## Returns\n\n{after}".encode())

    of_table = [chunk.text for chunk in found.chunks if "| Widget" in chunk.text]
    returns = [chunk.text for chunk in found.chunks if chunk.section.endswith("Returns")]
    assert len(of_table) > 3
    assert all(HEAD in text for text in of_table)
    assert len(returns) > 3
    assert not any("|" in text for text in returns)


async def test_a_header_that_leaves_no_room_is_not_repeated(tmp_path: Path) -> None:
    header = [f"A very long name of column number {n}" for n in range(20)]
    rows: list[list[object]] = [list(range(20)) for _ in range(10)]

    found = await read(tmp_path, made_files.xlsx(Wide=[list(header), *rows]))

    assert sum("column number 0" in chunk.text for chunk in found.chunks) == 1
    assert all(tokens.count(chunk.text, "gpt-4o") <= 60 for chunk in found.chunks)
