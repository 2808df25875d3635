"""The dead man's ping against a local HTTP server: what is sent, and what counts as arrived."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reasond.adapters.ping import address, ping
from reasond.errors import PingUndelivered


@pytest.fixture
def server():
    """A server that notes each request and answers with the statuses given, 200 after that."""
    seen, statuses = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            seen.append((self.path, dict(self.headers), self.rfile.read(length)))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    made.seen, made.statuses = seen, statuses
    made.url = "http://127.0.0.1:{}/check/uuid".format(made.server_address[1])
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize(
    "url, failed, expected",
    [
        ("https://hc-ping.com/uuid", False, "https://hc-ping.com/uuid"),
        ("https://hc-ping.com/uuid", True, "https://hc-ping.com/uuid/fail"),
        ("https://hc-ping.com/uuid/", True, "https://hc-ping.com/uuid/fail"),
        ("https://hc-ping.com/key/slug?create=1", True, "https://hc-ping.com/key/slug/fail?create=1"),
    ],
)
def test_fail_stands_behind_the_path(url, failed, expected):
    assert address(url, failed) == expected


def test_one_plain_get_goes_out_and_nothing_with_it(server):
    assert ping(server.url, proxies={}) == 1

    ((path, headers, body),) = server.seen
    assert (path, body) == ("/check/uuid", b"")
    assert set(headers) <= {"Host", "User-Agent", "Accept-Encoding"} and headers["User-Agent"] == "reasond"


def test_it_tries_again_and_stops_after_its_attempts(server):
    waits = []
    server.statuses[:] = [500, 302]

    assert ping(server.url, wait=waits.append, proxies={}) == 3
    server.statuses[:] = [500] * 9
    with pytest.raises(PingUndelivered, match="127.0.0.1 in 2 attempts: it answers 500") as failed:
        ping(server.url, attempts=2, wait=waits.append, proxies={})

    assert len(server.seen) == 5 and len(waits) == 3 and all(0 < wait <= 5 for wait in waits)
    assert "uuid" not in str(failed.value)


def test_nobody_there_is_told_in_the_end():
    with pytest.raises(PingUndelivered, match="in 3 attempts"):
        ping("http://127.0.0.1:9/x", wait=lambda seconds: None, proxies={})


def test_proxy_of_the_environment_is_asked(server, monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url.rpartition("/check")[0])

    ping("http://nobody.invalid/uuid")
    monkeypatch.setenv("no_proxy", "nobody.invalid")
    with pytest.raises(PingUndelivered):
        ping("http://nobody.invalid/uuid", attempts=1)

    assert [path for path, _, _ in server.seen] == ["http://nobody.invalid/uuid"]


def test_certificate_of_nobody_is_refused_and_its_own_ca_accepted(server, tmp_path):
    import ssl
    import subprocess

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http://127.0.0.1", "https://localhost")

    with pytest.raises(PingUndelivered):
        ping(url, attempts=1, proxies={})
    assert ping(url, ca_file=str(certificate), proxies={}) == 1
