"""HTTP as an attacker speaks it: any Host, any bytes of a path, half a request, and no help from a library that would put things right.

Assumes HTTP/1.1 without TLS. Promises that an answer is read to its end or up to a limit, that no wait is without a deadline, and that what the
server did not answer at all is told apart (status 0) from what it refused.
"""

import http.client
import json
import socket
import time
from dataclasses import dataclass

from procs import Failure

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
# No page is larger, and no answer of the API may be.
MOST = 64 << 20


@dataclass
class Answer:
    """Status 0: the connection ended without one."""

    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def type(self):
        return self.headers.get("content-type", "").split(";")[0]

    def json(self):
        return json.loads(self.body)


class Web:
    """A server at a port of this machine; connections are kept where the server keeps them. One for each thread. Who is patient comes again
    after a 429."""

    def __init__(self, port, address="127.0.0.1", headers=None, seconds=75, patient=True):
        self.port, self.address, self.seconds, self.patient = port, address, seconds, patient
        self.host, self.headers, self.connection = f"{address}:{port}", headers or {}, None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def ask(self, method, path, headers=None, body=b"", host=None):
        """One request with exactly these headers (and a Host, a length); an answer without an exception."""
        fresh = self.connection is None
        try:
            answer = self._ask(method, path, {**self.headers, **(headers or {})}, body, host)
            if answer.status != 429 or not self.patient:
                return answer
            time.sleep(float(answer.headers.get("retry-after", 2)))
            return self.ask(method, path, headers, body, host)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.close()
            # A kept connection may have been closed by the server meanwhile.
            if not fresh and not isinstance(error, (TimeoutError, ValueError)):
                return self.ask(method, path, headers, body, host)
            return Answer(0, {}, repr(error).encode())

    def _ask(self, method, path, headers, body, host):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address, self.port, timeout=self.seconds)
        made = self.connection
        made.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        made.putheader("Host", self.host if host is None else host)
        if body or method in ("POST", "PUT", "PATCH"):
            made.putheader("Content-Length", str(len(body)))
        for name, value in headers.items():
            made.putheader(name, value)
        made.endheaders(body or None)
        answer = made.getresponse()
        read = b"" if answer.headers.get_content_type() == "text/event-stream" else answer.read(MOST)
        found = Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, read)
        if not answer.isclosed() or answer.will_close:
            self.close()
        return found

    def get(self, path, **headers):
        return self.ask("GET", path, {k.replace("_", "-"): v for k, v in headers.items()})

    def form(self, path, fields="", **headers):
        return self.ask("POST", path, {"Content-Type": FORM, **{k.replace("_", "-"): v for k, v in headers.items()}}, fields.encode())

    def post(self, path, value=None, **headers):
        """JSON to the API."""
        more = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.ask("POST", f"/api/v1/{path}", {"Content-Type": JSON, **more}, json.dumps({} if value is None else value).encode())

    def raw(self, data, seconds=10):
        """Sends bytes as they are; what comes back until the server closes or time is up."""
        with socket.create_connection((self.address, self.port), timeout=seconds) as wire:
            wire.sendall(data)
            got = b""
            try:
                while len(got) < MOST and (more := wire.recv(65536)):
                    got += more
            except (TimeoutError, ConnectionResetError):
                pass
            return got


def status_of(raw):
    """The status of a raw answer; 0: there was none."""
    line = raw.split(b"\r\n", 1)[0].split(b" ")
    return int(line[1]) if len(line) > 1 and line[1].isdigit() else 0


def expect(answer, wanted, what):
    """The status must be one of those; returns the answer."""
    wanted = (wanted,) if isinstance(wanted, int) else wanted
    if answer.status not in wanted:
        raise Failure(f"{what}: {answer.status} instead of {' or '.join(map(str, wanted))}: {plain(answer.text)[:300]}")
    return answer


def plain(html):
    """What of a page is worth a line in a failure."""
    main = html.split("<main", 1)[-1] if "<main" in html else html
    return " ".join(main.split())
