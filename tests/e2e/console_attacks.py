"""What a stranger may try on the console: another site's page, another name for this machine, too much, too slow, and paths out of the house.

Assumes a console on loopback without a token and a filled lake. Each function is one attack and its name says what must hold; it raises `Failure`.
Promises that each leaves ops.actions as it was, unless it says so itself, and that the process still serves afterwards.
"""

import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from console_http import FORM, JSON, Web, expect, plain, status_of
from console_lab import JOB
from procs import Failure

# As they are in the contract; none of these may come from another site's page.
FORMS = {f"/jobs/{JOB}/run": "", f"/jobs/{JOB}/pause": "", f"/jobs/{JOB}/resume": "", "/runs/1/cancel": "confirm=yes", "/runs/1/retry": "",
         f"/jobs/{JOB}/backfill": "from=2026-01-01&to=2026-01-02&confirm=yes", "/deadletters/replay": "confirm=yes", "/query": "sql=SELECT 1"}
CALLS = {f"jobs/{JOB}/run": {}, f"jobs/{JOB}/pause": {}, "runs/1/cancel": {}, "deadletters/replay": {}, "query": {"sql": "SELECT 1"}}
PAGES = ("/", "/jobs", f"/jobs/{JOB}", "/runs", "/runs/1", "/runs/1/logs", "/tables", "/tables/gold.kpi_dau", "/query", "/deadletters", "/health",
         "/settings", "/activity", "/api/v1/jobs", "/api/v1/openapi.json", "/streams/user_events")
# The guard's own longest request is a minute.
SLOW_LIMIT = 75


def another_sites_page_cannot_do_anything(lab, web):
    own = web.host
    for strange in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://{own}.evil.example"}, {"Origin": "http://127.0.0.1:1"},
                    {"Origin": f"http://user@{own}"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
                    {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{own}"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}):
        for path, body in FORMS.items():
            expect(web.form(path, body, **strange), 403, f"POST {path} with {strange}")
        for path, body in CALLS.items():
            expect(web.post(path, body, **strange), 403, f"POST /api/v1/{path} with {strange}")
    for site in ({"Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        expect(web.form("/query", "sql=SELECT 1", **site), 200, f"our own page's POST with {site}")


def the_api_takes_nothing_that_a_page_may_send_unasked(lab, web):
    for kind in ("text/plain", FORM, "multipart/form-data; boundary=x", ""):
        headers = {"Content-Type": kind} if kind else {}
        expect(web.ask("POST", f"/api/v1/jobs/{JOB}/run", headers, b'{"force":false}'), (400, 415), f"a body of type `{kind}`")


def nothing_is_done_by_looking(lab, web):
    for path in [*FORMS, *(f"/api/v1/{call}" for call in CALLS)]:
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            if path == "/query" and method in ("GET", "HEAD"):
                continue
            expect(web.ask(method, path), (404, 405), f"{method} {path}")


def a_strangers_name_for_this_machine_is_turned_away(lab, web):
    port = web.port
    for host in (f"evil.example:{port}", "evil.example", f"localhost.evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"evil.example@127.0.0.1:{port}",
                 f"127.0.0.1@evil.example:{port}", "", "[::1", f"10.0.0.1:{port}", "127.0.0.1evil:80", f"evil.example:{port}, 127.0.0.1:{port}"):
        for path in ("/", "/api/v1/jobs", "/live/", "/tables/gold.kpi_dau", "/assets/console.css"):
            answer = web.ask("GET", path, host=host)
            expect(answer, (400, 403), f"Host `{host}`, {path}")
        expect(web.ask("POST", f"/jobs/{JOB}/run", {"Content-Type": FORM}, host=host), (400, 403), f"POST with Host `{host}`")
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", f"LOCALHOST:{port}"):
        expect(web.ask("GET", "/jobs", host=host), 200, f"Host `{host}`")
    two = web.raw(f"GET /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    if status_of(two) not in (400, 403) and b"data-page" in two:
        raise Failure("two Hosts, one of them a stranger's, were served")


def pages_forbid_what_a_browser_would_allow(lab, web):
    for path in PAGES:
        answer = expect(web.get(path), 200, path)
        policy = answer.headers.get("content-security-policy", "")
        for rule in ("default-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
            if rule not in policy:
                raise Failure(f"{path}: the policy lacks {rule}: `{policy}`")
        if "unsafe" in policy or "*" in policy:
            raise Failure(f"{path}: the policy is loose: `{policy}`")
        # With `no-referrer` a browser sends `Origin: null` with a form of our own, which cannot be told from a stranger's.
        for name, values in (("x-content-type-options", ("nosniff",)), ("referrer-policy", ("no-referrer", "same-origin"))):
            if answer.headers.get(name) not in values:
                raise Failure(f"{path}: {name} is {answer.headers.get(name)}")
        for name in ("access-control-allow-origin", "set-cookie"):
            if name in answer.headers:
                raise Failure(f"{path}: there is a {name}")
        if answer.type == "text/html" and (" style=" in answer.text or "<script>" in answer.text or " onclick=" in answer.text):
            raise Failure(f"{path}: inline style or script")
    named = set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', web.get("/").text))
    for path in named:
        cached = expect(web.get(path), 200, path).headers.get("cache-control", "")
        if "immutable" not in cached or not re.search(r"[0-9a-f]{8}", path):
            raise Failure(f"{path}: cached as `{cached}`; what may be kept for ever has a digest in its name")
    if len(named) < 3:
        raise Failure(f"a page names these files alone: {named}")


def a_failure_leads_back_into_the_house(lab, web):
    for path in ("//evil.example/", "//evil.example/%2e%2e", "/%2f%2fevil.example", "/\\\\evil.example", "///evil.example"):
        answer = web.get(path)
        if re.search(r'href="(?!/(?![/\\]))', answer.text.split("<main", 1)[-1]):
            raise Failure(f"{path}: the page has a link out of the house: {plain(answer.text)[:300]}")


def a_form_that_is_refused_leads_back_to_its_page(lab, web):
    for path in ("/runs/999999999/cancel", "/runs/999999999/retry", "/jobs/no_such_job/run"):
        answer = expect(web.form(path, "confirm=yes"), (404, 409), path)
        if f'href="{path}"' in answer.text:
            raise Failure(f"POST {path}: the page leads to the form's own address, where there is nothing to look at")
    refused = lab.ask("SELECT outcome FROM ops.actions ORDER BY id DESC LIMIT 2")
    if refused != [("refused",)] * 2:
        raise Failure(f"what was asked of runs that are not there is in the history as {refused}")


# What was asked of a run and refused is in the history; a job that is not there has none.
a_form_that_is_refused_leads_back_to_its_page.leaves = 2


def what_is_too_large_is_not_read(lab, web):
    large = b"x" * (64 * 1024 + 1)
    for path, kind in (("/query", FORM), (f"/jobs/{JOB}/run", FORM), ("/api/v1/query", JSON), (f"/api/v1/jobs/{JOB}/run", JSON)):
        expect(web.ask("POST", path, {"Content-Type": kind}, b"sql=" + large), 413, f"64 KiB and more to {path}")
        chunked = f"POST {path} HTTP/1.1\r\nHost: {web.host}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        if (found := status_of(web.raw(chunked + b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n"))) not in (413, 0):
            raise Failure(f"128 KiB in a chunk to {path}: {found}")
        said = f"POST {path} HTTP/1.1\r\nHost: {web.host}\r\nContent-Type: {kind}\r\nContent-Length: 99999999999\r\n\r\n".encode()
        begun = time.monotonic()
        if (found := status_of(web.raw(said + b"x", seconds=5))) != 413:
            raise Failure(f"a body said to be of 100 GB to {path}: {found} after {time.monotonic() - begun:.0f} s, instead of 413 at once")
    comment = b"sql=SELECT 1 " + quote("-- " + "y" * 50_000).encode()
    expect(web.ask("POST", "/query", {"Content-Type": FORM}, comment), 200, "50 KB of SQL")
    expect(web.get(f"/runs?job={'z' * 200_000}"), (0, 400, 404, 413, 414, 431), "an address of 200 KB")
    expect(web.ask("GET", "/", {f"X-Header-{i}": "v" * 100 for i in range(1000)}), (0, 400, 413, 431), "1,000 headers")


def who_is_slow_is_put_out_and_keeps_nobody_waiting(lab, web):
    head = f"POST /query HTTP/1.1\r\nHost: {web.host}\r\nContent-Type: {FORM}\r\nContent-Length: 5000\r\n\r\n".encode()
    ended, over = [], threading.Event()

    def trickle(begin):
        begun = time.monotonic()
        with socket.create_connection((web.address, web.port)) as wire:
            wire.settimeout(1)
            try:
                wire.sendall(begin)
                while not over.is_set():
                    wire.sendall(b"x")
                    try:
                        if not wire.recv(65536):
                            break
                    except TimeoutError:
                        pass
            except OSError:
                pass
        ended.append(time.monotonic() - begun)

    slow = [threading.Thread(target=trickle, args=(begin,), daemon=True) for begin in [b"GET / HTTP/1.1\r\nX-A: "] * 60 + [head] * 25]
    for one in slow:
        one.start()
    until, worst = time.monotonic() + SLOW_LIMIT, 0
    while any(one.is_alive() for one in slow) and time.monotonic() < until:
        begun = time.monotonic()
        expect(Web(web.port, seconds=10).get("/jobs"), 200, f"a page beside {len(slow)} slow clients")
        worst = max(worst, time.monotonic() - begun)
        time.sleep(0.5)
    late = sum(one.is_alive() for one in slow)
    over.set()
    if late:
        raise Failure(f"{late} of {len(slow)} slow requests are still open after {SLOW_LIMIT} s")
    if worst > 5:
        raise Failure(f"others waited {worst:.1f} s meanwhile")


def live_streams_are_limited_and_given_back(lab, web):
    def stream():
        wire = socket.create_connection((web.address, web.port), timeout=5)
        wire.sendall(f"GET /live/ HTTP/1.1\r\nHost: {web.host}\r\n\r\n".encode())
        return wire, status_of(wire.recv(4096))

    held, refused = [], 0
    try:
        for _ in range(1000):
            wire, status = stream()
            held.append(wire)
            if status == 503:
                refused += 1
                break
            if status != 200:
                raise Failure(f"stream {len(held)}: {status}")
        if not refused:
            raise Failure(f"{len(held)} live streams are open and none was refused")
        expect(web.get("/jobs"), 200, "a page while no more streams are to be had")
    finally:
        for wire in held:
            wire.close()
    until = time.monotonic() + 20
    while True:
        wire, status = stream()
        wire.close()
        if status == 200:
            return
        if time.monotonic() > until:
            raise Failure(f"after {len(held)} streams were left, none is to be had for 20 s: {status}")
        time.sleep(0.5)


def no_path_leads_out_of_the_house(lab, web):
    (lab.dir / "secret.txt").write_text("root:x:0:0 of the house", encoding="utf-8")
    ways = []
    for up in ("..", "%2e%2e", "%2E%2e", ".%2e", "%252e%252e", "..%00", "..;"):
        for slash in ("/", "%2f", "%5c", "\\", "%252f"):
            ways.append(slash.join([up] * 8 + ["etc", "passwd"]))
    ways += ["/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "gold.%2e%2e", "gold.../../secret", "gold.kpi_dau%00", "gold.kpi_dau/../../../etc/passwd",
             "gold.kpi_dau%2f_delta_log", "bronze._delta_log", "..", "%2e", ".", "gold", "gold.", ".kpi_dau", "gold.kpi_dau.x", "Cargo.toml", "%", "%zz", "%c0%ae"]
    for way in ways:
        for place in ("/assets/", "/tables/", "/jobs/", "/runs/", "/streams/", "/live/tables/", "/api/v1/tables/", "/api/v1/jobs/", "/"):
            answer = web.get(place + way)
            if b"root:" in answer.body or answer.status >= 500:
                raise Failure(f"{place}{way}: {answer.status} {plain(answer.text)[:200]}")
            if answer.status == 200 and place == "/assets/":
                raise Failure(f"{place}{way} was served")
        for path in (f"/runs/1/logs?task={way}", f"/tables/gold.kpi_dau?version={way}", f"/deadletters?stream={way}", f"/api/v1/tables/{way}/files"):
            answer = web.get(path)
            if b"root:" in answer.body or answer.status >= 500:
                raise Failure(f"{path}: {answer.status} {plain(answer.text)[:200]}")


def numbers_that_are_none_are_refused(lab, web):
    for number in ("-1", "0", "99999999999999999999", "1e3", "17abc", "0x11", "%31%32x", "null", "１", "1%00", "9223372036854775807"):
        for path in (f"/runs/{quote(number, safe='%')}", f"/api/v1/runs/{quote(number, safe='%')}", f"/live/runs/{quote(number, safe='%')}"):
            expect(web.get(path), (400, 404), path)
        for path in ("/runs?before=", "/tables/gold.kpi_dau?version=", "/api/v1/runs?limit=", "/api/v1/actions?before=", "/api/v1/tables/gold.kpi_dau/preview?limit="):
            if (answer := web.get(path + quote(number, safe="%"))).status >= 500 or not answer.status:
                raise Failure(f"{path}{number}: {answer.status}")


def a_request_that_can_be_read_in_two_ways_is_not_read(lab, web):
    host = f"Host: {web.host}\r\n"
    for name, head in {"length and chunks": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "two lengths": "Content-Length: 4\r\nContent-Length: 40\r\n",
                       "a negative length": "Content-Length: -1\r\n", "a strange coding": "Transfer-Encoding: chunked, identity\r\n"}.items():
        inner = f"GET /smuggled HTTP/1.1\r\n{host}\r\n"
        got = web.raw(f"POST /query HTTP/1.1\r\n{host}Content-Type: {FORM}\r\n{head}\r\n0\r\n\r\n{inner}".encode(), seconds=8)
        if got.count(b"HTTP/1.1 ") > 1 and b"/smuggled" in got:
            raise Failure(f"{name}: the second request within the first one was answered")
    answer = web.form(f"/jobs/{JOB}%0d%0aInjected:%20yes/run")
    if "injected" in answer.headers or answer.status in (200, 303):
        raise Failure(f"a line break in a path: {answer.status} {answer.headers}")
    for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 5000):
        if status_of(web.raw(data, seconds=8)) >= 500:
            raise Failure(f"{data[:20]}: an error of the server")


def who_does_too_much_at_once_waits(lab, web):
    asks = {"form": lambda web: web.form(f"/jobs/{JOB}/run", "dry_run=on"), "api": lambda web: web.post("query", {"sql": "SELECT 1"})}

    def hurry(ask):
        mine = Web(web.port, patient=False)
        answers = (ask(mine) for _ in range(20))
        told = next((answer for answer in answers if answer.status == 429), None)
        mine.close()
        return told

    for kind, ask in asks.items():
        # One after another is no hurry where each of them takes a tenth of a second.
        with ThreadPoolExecutor(10) as people:
            told = [answer for answer in people.map(hurry, [ask] * 10) if answer]
        if not told:
            raise Failure(f"200 requests to the {kind}, ten at a time, and none was asked to wait")
        waits = [answer.headers.get("retry-after", "") for answer in told]
        if not all(wait.isdigit() for wait in waits):
            raise Failure(f"429 of the {kind} without Retry-After: {waits}")
        expect(web.get("/jobs"), 200, "looking meanwhile")
        time.sleep(max(map(int, waits)) + 1)


ATTACKS = [another_sites_page_cannot_do_anything, the_api_takes_nothing_that_a_page_may_send_unasked, nothing_is_done_by_looking,
           a_strangers_name_for_this_machine_is_turned_away, pages_forbid_what_a_browser_would_allow, a_failure_leads_back_into_the_house,
           a_form_that_is_refused_leads_back_to_its_page, what_is_too_large_is_not_read,
           no_path_leads_out_of_the_house, numbers_that_are_none_are_refused, a_request_that_can_be_read_in_two_ways_is_not_read,
           live_streams_are_limited_and_given_back, who_is_slow_is_put_out_and_keeps_nobody_waiting, who_does_too_much_at_once_waits]
