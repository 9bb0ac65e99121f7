"""The console's doors: a token, a console beyond this machine, and one that only shows.

Assumes the lab's stores; each door is a process of its own beside the main one, with the role `console` alone. Promises that it is stopped again,
and that nothing was done through a door that was shut.
"""

import base64
import secrets
import socket

from console_http import FORM, Web, expect
from console_lab import JOB
from procs import Failure, free_port, wait_for

PLACES = ("/", "/jobs", "/tables/gold.kpi_dau", "/settings", "/api/v1/jobs", "/api/v1/openapi.json", "/live/", "/runs/1/logs.txt")
OPEN = ("/metrics", "/healthz")


def basic(password, user="ana"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def door(lab, name, listen="127.0.0.1", settings=(), env=None):
    """A console of its own, and a client of it."""
    proc = lab.process(name, free_port(), "--roles", "console", listen=listen, settings=settings, env=env)
    proc.start()

    def up():
        if not proc.runs():
            raise Failure(f"{name} ended:\n{proc.tail()}")
        return Web(proc.http).get("/healthz").status == 200

    wait_for(f"{name} answers", up, 30)
    return proc, Web(proc.http)


def an_address_beyond():
    """An address of this machine that is not the loopback's; none: there is no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it only says which way it would go.
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return None


def without_the_token_nothing_is_shown(lab, _web):
    token = secrets.token_urlsafe(24)
    secret = lab.dir / "token"
    secret.write_text(token + "\n", encoding="utf-8")
    ways = {"loopback": ("127.0.0.1", {"TRIBUTARY_CONSOLE_TOKEN": token}), "beyond": ("0.0.0.0", {"TRIBUTARY_CONSOLE_TOKEN_FILE": str(secret)})}
    for name, (listen, env) in ways.items():
        proc, web = door(lab, f"token-{name}", listen=listen, env=env)
        try:
            away = an_address_beyond() if listen == "0.0.0.0" else None
            for client in [web, *([Web(proc.http, away)] if away else [])]:
                shut(client, token)
                opened(client, token)
            if any(token in Web(proc.http, headers={"Authorization": f"Bearer {token}"}).get(path).text for path in ("/settings", "/api/v1/settings", "/metrics")):
                raise Failure("the token is shown")
            if token in proc.log.read_text(errors="replace"):
                raise Failure("the token is in the log")
        finally:
            proc.leave()


def shut(web, token):
    wrong = [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {token}x"},
             {"Authorization": f"Bearer {token[:-1]}"}, {"Authorization": token}, {"Authorization": f"Token {token}"}, {"Authorization": basic("")},
             {"Authorization": basic("wrong")}, {"Authorization": basic("", token)}, {"Authorization": "Basic %%%"}, {"Authorization": f"Basic {token}"},
             {"Cookie": f"token={token}"}, {"X-Token": token}, {"Authorization": "Bearer " + "x" * 5000}]
    for headers in wrong:
        for path in PLACES:
            answer = expect(web.ask("GET", path, headers), 401, f"{path} with {headers}")
            if b"lakehouse" in answer.body:
                raise Failure(f"{path} with {headers} says something of the house")
        expect(web.ask("POST", f"/jobs/{JOB}/run", {"Content-Type": FORM, **headers}), 401, f"a POST with {headers}")
        expect(web.ask("POST", f"/api/v1/jobs/{JOB}/run", headers), 401, f"a POST to the API with {headers}")
    expect(web.get(f"/jobs?token={token}&access_token={token}"), 401, "the token in the address")
    if "basic" not in web.get("/").headers.get("www-authenticate", "").lower():
        raise Failure("401 does not make a browser ask: no WWW-Authenticate: Basic")
    for path in OPEN:
        expect(web.get(path), 200, f"{path} for machines")


def opened(web, token):
    for authorization in (f"Bearer {token}", f"bearer {token}", basic(token), basic(token, ""), basic(token, "a:b".replace(":", "-"))):
        for path in PLACES:
            answer = web.ask("GET", path, {"Authorization": authorization})
            expect(answer, 404 if path.endswith("logs.txt") and answer.status == 404 else 200, f"{path} with {authorization.split()[0]}")
    expect(web.ask("POST", "/query", {"Authorization": basic(token), "Content-Type": FORM, "Origin": "http://evil.example"}, b"sql=SELECT 1"), 403,
           "another site's page, with the token that the browser remembers")


def beyond_this_machine_without_a_token_nothing_is_shown(lab, _web):
    proc, web = door(lab, "bare", listen="0.0.0.0")
    try:
        away = an_address_beyond()
        for client in [web, *([Web(proc.http, away)] if away else [])]:
            for path in PLACES:
                answer = expect(client.get(path), 403, path)
                if "console.token" not in answer.text or "TRIBUTARY_CONSOLE_TOKEN" not in answer.text:
                    raise Failure(f"{path}: 403 does not say what to set: {answer.text[-500:]}")
                if b"lakehouse_" in answer.body:
                    raise Failure(f"{path} says something of the house")
            expect(client.form(f"/jobs/{JOB}/run"), 403, "a form")
            expect(client.post(f"jobs/{JOB}/run"), 403, "a call")
            for path in OPEN:
                expect(client.get(path), 200, f"{path} for machines")
    finally:
        proc.leave()


def read_only_means_read_only(lab, _web):
    proc, web = door(lab, "read-only", settings=["console.read_only=true"])
    try:
        for path, fields in ((f"/jobs/{JOB}/run", ""), (f"/jobs/{JOB}/pause", ""), (f"/jobs/{JOB}/resume", ""), ("/runs/1/cancel", "confirm=yes"),
                             ("/runs/1/retry", ""), (f"/jobs/{JOB}/backfill", "from=2026-01-01&to=2026-01-02&confirm=yes"),
                             ("/deadletters/replay", "stream=user_events&confirm=yes")):
            expect(web.form(path, fields), 403, f"POST {path}")
        for path, value in ((f"jobs/{JOB}/run", {}), (f"jobs/{JOB}/pause", {}), (f"jobs/{JOB}/resume", {}), ("runs/1/cancel", {}), ("runs/1/retry", {}),
                            (f"jobs/{JOB}/backfill", {"from": "2026-01-01", "to": "2026-01-02"}), ("deadletters/replay", {"stream": "user_events"})):
            expect(web.post(path, value), 403, f"POST /api/v1/{path}")
        expect(web.form("/query", "sql=SELECT 1"), 200, "a query")
        expect(web.post("query", {"sql": "SELECT 1"}), 200, "a query by the API")
        expect(web.form(f"/jobs/{JOB}/run", "dry_run=on"), 200, "a dry run")
        expect(web.post(f"jobs/{JOB}/run", {"dry_run": True}), 200, "a dry run by the API")
        for path in ("/", "/jobs", f"/jobs/{JOB}", "/runs/1", "/deadletters"):
            expect(web.get(path), 200, path)
    finally:
        proc.leave()


ATTACKS = [without_the_token_nothing_is_shown, beyond_this_machine_without_a_token_nothing_is_shown, read_only_means_read_only]
