"""A KV store, version 2, that answers over HTTP as Vault does: paths, policies, deleted versions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hvs.test-token"


@dataclass
class KvServer:
    """`secrets`: by path below the mount; `None` is a deleted version."""

    url: str = ""
    mount: str = "secret"
    secrets: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    #: Paths that the token's policy does not allow.
    denied: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, token: str | None) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        prefix = f"/v1/{self.mount}/data/"
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        if not path.startswith(prefix):
            # What the operator sends when the mount is wrong; Vault says so and no more.
            return 404, {"errors": [f'no handler for route "{path.removeprefix("/v1/")}"']}
        key = path.removeprefix(prefix)
        if key in self.denied:
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        if key not in self.secrets:
            return 404, {"errors": []}
        metadata = {
            "version": 1,
            "created_time": "2026-01-01T00:00:00Z",
            "deletion_time": "",
            "destroyed": False,
        }
        found = self.secrets[key]
        if found is None:
            deleted = {**metadata, "deletion_time": "2026-02-01T00:00:00Z"}
            return 404, {"data": {"data": None, "metadata": deleted}}
        return 200, {"data": {"data": found, "metadata": metadata}}


@contextmanager
def running() -> Iterator[KvServer]:
    """Serve until the block ends."""
    store = KvServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = store.answer(self.path.partition("?")[0], self.headers.get("X-Vault-Token"))
            encoded = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
