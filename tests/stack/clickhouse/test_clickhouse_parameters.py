"""`{name:Type}` parameters: any text goes in and comes back, and none becomes SQL."""

from __future__ import annotations

from collections.abc import Iterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_process import ServerProcess
from hypothesis import given, settings
from hypothesis import strategies as st

NASTY = [
    "",
    "it's",
    'say "x"',
    "back\\slash\\",
    "\\'; DROP TABLE t; --",
    "'); DROP TABLE t; --",
    "tab\tline\nreturn\r\n",
    "\\N",
    "naïve 💶 漢字",
    "{x:String}",
    "%s {} $$ `tick`",
    "&query=SELECT 2&readonly=0",
    "a\0b",
    "x" * 3_000,
]


def escaped(text: str) -> str:
    """TSV escaping, as a client of ClickHouse's HTTP interface must do."""
    marks = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}
    return "".join(marks.get(sign, sign) for sign in text)


@pytest.mark.parametrize("text", NASTY)
def test_text_is_only_text(server: ServerProcess, text: str) -> None:
    answer = server.query("SELECT {x:String} AS x FORMAT RowBinary", param_x=escaped(text))
    assert answer.status_code == 200, answer.text
    assert answer.content[-len(text.encode()) :] == text.encode() or not text


@pytest.mark.parametrize("text", NASTY)
def test_text_reaches_an_insert(server: ServerProcess, text: str) -> None:
    server.query("CREATE OR REPLACE TABLE said (a String) ENGINE = Memory")
    answer = server.query(
        "INSERT INTO {t:Identifier} VALUES ({x:String})", param_x=escaped(text), param_t="said"
    )
    assert answer.status_code == 200, answer.text
    assert server.query("SELECT count() FROM said WHERE a = {x:String}", param_x=escaped(text)).text == "1\n"


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Client]:
    with clickhouse_connect.get_client(host="127.0.0.1", port=server.port) as made:
        yield made


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.lists(st.text("ab'\\\n\té{}"), max_size=4),
)
def test_any_text_and_list_by_the_official_client(client: Client, text: str, parts: list[str]) -> None:
    rows = client.query(
        "SELECT {t:String}, {p:Array(String)}", parameters={"t": text, "p": parts}
    ).result_rows
    assert rows == [(text, parts)]


def test_wrong_and_missing_values_are_refused(server: ServerProcess) -> None:
    assert server.query("SELECT {x:UInt8}", param_x="1 OR 1").headers["X-ClickHouse-Exception-Code"] == "457"
    assert server.query("SELECT {x:UInt8}").headers["X-ClickHouse-Exception-Code"] == "456"
    assert server.query("SELECT {x:Nullable(String)} IS NULL", param_x="\\N").text == "1\n"


def test_identifier_is_quoted(server: ServerProcess) -> None:
    answer = server.query("SELECT * FROM {t:Identifier}", param_t="numbers(1); DROP TABLE x")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "60"


def test_parameters_in_a_form(server: ServerProcess) -> None:
    parts = {"query": (None, "SELECT {x:String}"), "param_x": (None, "it\\\\s")}
    assert server.http.post("/", files=parts).text == "it\\\\s\n"
