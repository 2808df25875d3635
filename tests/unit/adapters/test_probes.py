"""One HTTP request of the doctor: whatever is answered is given, nothing is followed, no answer is an error."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from reasond.adapters import probes
from reasond.errors import BrokerUnavailable, StoreUnavailable


@pytest.fixture
def server():
    """A server that notes requests, answers /moved by a redirect and all else by 418."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path, self.headers["authorization"]))
            self.send_response(302 if self.path == "/moved" else 418)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"tea")

        do_POST = do_GET

        def log_message(self, *args):
            """Keep the console quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        made.asked, made.url = asked, f"http://127.0.0.1:{made.server_address[1]}"
        yield made
        made.shutdown()


def test_http_gives_status_headers_and_body_of_any_answer(server):
    answer = probes.http("POST", server.url + "/x", StoreUnavailable, headers={"Authorization": "T"}, body=b"")

    assert (answer.status, answer.body, answer.headers["content-length"]) == (418, b"tea", "3")
    assert server.asked == [("POST", "/x", "T")]


def test_http_follows_no_redirect_that_would_carry_a_secret_away(server):
    assert probes.http("GET", server.url + "/moved", StoreUnavailable, headers={"Authorization": "T"}).status == 302
    assert len(server.asked) == 1


@pytest.mark.parametrize("error", [StoreUnavailable, BrokerUnavailable])
def test_http_without_an_answer_raises_the_error_asked_for_with_address_and_cause(error):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/health?token=secret"

        with pytest.raises(error, match="Connection refused") as caught:
            probes.http("GET", url, error)

    assert "secret" not in str(caught.value) and "object at" not in str(caught.value)


def test_http_of_a_mute_peer_ends_at_its_timeout(monkeypatch):
    monkeypatch.setattr(probes, "HTTP_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            probes.http("GET", f"http://127.0.0.1:{mute.getsockname()[1]}/", StoreUnavailable)


def test_http_with_a_ca_file_that_is_missing_raises_the_error_asked_for(tmp_path):
    with pytest.raises(StoreUnavailable):
        probes.http("GET", "https://127.0.0.1:1/", StoreUnavailable, ca_file=str(tmp_path / "none.pem"))
