"""A stand-in for W&B's server on this machine: it takes runs, refuses everybody, or does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4
"""What looks like an account's key."""


class Server(ThreadingHTTPServer):
    """The stand-in.

    Args:
        refuses: answer everything with 401.
        refused: answer the operations with this text in their name with 403.
        silent_to: the operations with this text in their name get no answer; the empty text is in all.
    """

    def __init__(self, *, refuses: bool = False, refused: str | None = None, silent_to: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuses = refuses
        self.refused = refused
        self.silent_to = silent_to
        self.closing = threading.Event()
        self.operations: list[str] = []
        """The operations that were asked for, in their order."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        request = json.loads(body) if self.path == "/graphql" else {}
        operation = request.get("operationName") or self.path
        self.server.operations.append(operation)
        if self.server.silent_to is not None and self.server.silent_to in operation:
            self.server.closing.wait()
            return
        if self.server.refuses:
            self.reply({"errors": [{"message": "user is not logged in"}]}, 401)
        elif self.server.refused is not None and self.server.refused in operation:
            self.reply({"errors": [{"message": "permission denied"}]}, 403)
        else:
            self.reply({"data": self.data(operation, request.get("variables") or {})})

    def data(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What W&B would answer to the operations of a run."""
        if operation == "Viewer":
            viewer = {"id": "1", "entity": "lab", "username": "somebody", "email": "", "flags": "{}"}
            return {"viewer": {**viewer, "teams": {"edges": []}}}
        if operation == "UpsertBucket":
            project = {"name": variables.get("project") or "medseg", "entity": {"name": "lab"}}
            bucket = {"id": "1", "name": variables.get("name"), "displayName": "", "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.server.url}/upload"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "1", "uploadHeaders": [], "files": files}}
        return {}

    def reply(self, content: dict[str, Any], code: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: Any) -> None:
        pass

    do_GET = do_POST = do_PUT = answer  # noqa: N815


@contextmanager
def serving(**behaviour: Any) -> Iterator[Server]:
    """Serve as `Server` is told to."""
    server = Server(**behaviour)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
