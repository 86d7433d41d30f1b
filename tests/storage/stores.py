"""Stores for the tests, all on this machine: in memory, S3 (moto) and a web server that can fail.

Each keeps count of the requests, and can be told to answer late or wrongly.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

_POLL = 0.01  # seconds after which a server sees that it is to stop


@dataclass
class Behaviour:
    """What a server does besides its duty. ``fault`` is called with the path of each request; it
    returns a status to answer with, ``"cut"`` to end in the middle, ``"whole"`` to send the whole
    file, whatever part is asked for, ``"gzip"`` to send it packed, or None."""

    delay: float = 0.0
    fault: Callable[[str], int | str | None] = lambda path: None
    counts: Counter[str] = field(default_factory=Counter)

    def calm(self) -> None:
        self.delay, self.fault = 0.0, lambda path: None
        self.counts.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for its header to be acknowledged
    files: Mapping[str, bytes]
    behaviour: Behaviour
    ranges = True

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = unquote(self.path.partition("?")[0]).strip("/")
        self.behaviour.counts[self.command] += 1
        time.sleep(self.behaviour.delay)
        fault = self.behaviour.fault(path)
        if isinstance(fault, int):
            self._send(fault, b"", with_body)
        elif path in self.files:
            self._send_file(self.files[path], with_body, fault)
        else:
            self._send_listing(path, with_body)

    def _send_file(self, data: bytes, with_body: bool, fault: str | None) -> None:
        cut, headers = fault == "cut", {"Accept-Ranges": "bytes"} if self.ranges else {}
        asked = self.headers.get("Range")
        if fault == "gzip":
            self._send(200, gzip.compress(data), with_body, {"Content-Encoding": "gzip"})
        elif asked and self.ranges and fault != "whole":
            start, _, last = asked.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            self._send(206, data[int(start) : end], with_body, headers, cut)
        else:
            self._send(200, data, with_body, headers, cut)

    def _send_listing(self, path: str, with_body: bool) -> None:
        begin = f"{path}/" if path else ""
        names = {
            name.removeprefix(begin).partition("/") for name in self.files if name.startswith(begin)
        }
        links = sorted({first + slash for first, slash, _ in names})
        page = "".join(f'<a href="{name.replace(" ", "%20")}">x</a>' for name in links)
        self._send(200 if links else 404, page.encode(), with_body)

    def _send(
        self,
        status: int,
        data: bytes,
        with_body: bool,
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True


@contextmanager
def web_server(files: Mapping[str, bytes], ranges: bool = True) -> Iterator[tuple[str, Behaviour]]:
    """Serve files by HTTP on the loopback address; yield the URL and the behaviour."""
    behaviour = Behaviour()
    handler = type(
        "Handler", (_Handler,), {"files": files, "behaviour": behaviour, "ranges": ranges}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def s3_server() -> Iterator[tuple[str, Behaviour]]:
    """Start moto's S3 on the loopback address; yield its endpoint and the behaviour."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    behaviour = Behaviour()
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        listing = "list-type" in environ.get("QUERY_STRING", "")
        behaviour.counts["LIST" if listing else environ["REQUEST_METHOD"]] += 1
        time.sleep(behaviour.delay)
        fault = behaviour.fault(environ["PATH_INFO"].strip("/"))
        if isinstance(fault, int):
            start(f"{fault} Fault", [("Content-Length", "0")])
            return [b""]
        body = moto(environ, start)
        return [b"".join(body)[:-1]] if fault == "cut" else body

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def s3_keys(endpoint: str) -> Iterator[None]:
    """Let s3fs take its keys for a server from the environment, and give up soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "a-key-that-nobody-shows")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-nobody-shows")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "2")
        patch.setattr("s3fs.S3FileSystem.retries", 1)
        patch.setattr("botocore.retryhandler.delay_exponential", lambda *_, **__: 0)
        import fsspec

        fsspec.get_filesystem_class("s3").clear_instance_cache()  # those of an earlier server
        yield


def put(url: str, files: Mapping[str, bytes]) -> str:
    """Store files below a URL, and return it."""
    import fsspec

    system, root = fsspec.core.url_to_fs(url)
    if url.startswith("s3://") and not system.exists(root.partition("/")[0]):
        system.mkdir(root.partition("/")[0])
    system.pipe({f"{root}/{name}": data for name, data in files.items()})
    return url


def zipped(files: Mapping[str, bytes], path: Path) -> bytes:
    from ..archives import as_zip

    return as_zip(files, path).read_bytes()
