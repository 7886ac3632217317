from __future__ import annotations

import socket

from stack import ports


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_the_default_is_taken_where_it_is_free() -> None:
    with listening() as free:
        port = free.getsockname()[1]

    assert ports.choose({"gateway": port}, {}) == {"gateway": port}


def test_another_is_found_where_the_default_is_taken() -> None:
    with listening() as taken:
        port = taken.getsockname()[1]

        chosen = ports.choose({"gateway": port}, {})["gateway"]

    assert chosen != port
    assert ports.is_free(chosen)


def test_what_was_chosen_once_is_kept() -> None:
    with listening() as one, listening() as two:
        default, remembered = one.getsockname()[1], two.getsockname()[1]

    assert ports.choose({"gateway": default}, {"gateway": remembered}) == {"gateway": remembered}


def test_two_parts_never_share_a_port() -> None:
    with listening() as free:
        port = free.getsockname()[1]

    chosen = ports.choose({"gateway": port, "runner": port, "console": 0}, {"console": port})

    assert len(set(chosen.values())) == 3
