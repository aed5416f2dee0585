"""A server that passes all on to another one, counts the images that are fetched, and can stop answering."""

import contextlib
import http.client
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

_OWN = ("connection", "content-length", "date", "server", "transfer-encoding")


class Forwarder(http.server.ThreadingHTTPServer):
    """Listens on a port of its own.

    Args:
        address: Of the server behind it, such as `http://127.0.0.1:5000`.
    """

    def __init__(self, address: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(address).netloc
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.commands: Counter[str] = Counter()
        self.fetched: Counter[str] = Counter()
        self.images_left: int | None = None
        """How many images it passes on before it answers for none any more; None for all."""

    def lets_pass(self, path: str) -> bool:
        if self.images_left == 0:
            return False
        if self.images_left:
            self.images_left -= 1
        self.fetched[path] += 1
        return True


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Forwarder
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.commands[self.command] += 1
        path = urlsplit(self.path).path
        if path.endswith(".png") and self.command == "GET" and not self.server.lets_pass(path):
            self.close_connection = True
            return
        with contextlib.closing(http.client.HTTPConnection(self.server.behind)) as connection:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, self.path, sent, dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OWN:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_PUT = do_GET

    def handle(self) -> None:
        # Whoever asks may be killed in the middle of an answer.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def forwarding(address: str) -> Iterator[Forwarder]:
    """A forwarder to `address` while the block lasts."""
    with Forwarder(address) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
