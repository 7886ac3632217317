"""A receiver of OTLP over HTTP: takes what the real one takes, and refuses the rest."""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """Listens on a port; keeps every span with its service's name."""

    def __init__(self, token: str = "") -> None:
        self.spans: list[tuple[str, Span]] = []
        self.raw = b""
        self._token = token
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver.take(self.path, dict(self.headers.items()), body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Keep an export; return the status to answer with."""
        told = {name.lower(): value for name, value in headers.items()}
        if path != "/v1/traces":
            return 404
        if told.get("content-type") != "application/x-protobuf":
            return 415
        if self._token and told.get("authorization") != self._token:
            return 401
        body = gzip.decompress(body) if told.get("content-encoding") == "gzip" else body
        export = ExportTraceServiceRequest.FromString(body)
        self.raw += body
        for resource in export.resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return 200

    def of(self, trace_id: str) -> dict[str, list[Span]]:
        """Return a trace's spans by service."""
        found: dict[str, list[Span]] = defaultdict(list)
        for service, span in list(self.spans):
            if span.trace_id.hex() == trace_id:
                found[service].append(span)
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
