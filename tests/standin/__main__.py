"""Runs the stand-in as a process of its own: prints its URL on one line, serves until it is told to end."""

import argparse
import json
import signal
import threading
from typing import List, Optional

from tests.standin.policy import POLICIES
from tests.standin.server import StandIn
from tests.standin.wire import FORMS


def arguments(argv: Optional[List[str]] = None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m tests.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--log", help="file that gets each exchange as a JSON line")
    parser.add_argument("--key", default="standin-key", help="the API key that is accepted")
    parser.add_argument("--policy", default="sensible", choices=sorted(POLICIES))
    parser.add_argument("--policy-options", type=json.loads, default={}, help='as JSON, such as {"high": 20}')
    parser.add_argument("--form", default="auto", choices=sorted(FORMS))
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--retired", action="append", default=[], metavar="MODEL")
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    options = arguments(argv)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    api = StandIn(
        dict(options.policy_options, name=options.policy),
        form=options.form,
        key=options.key,
        host=options.host,
        port=options.port,
        log_file=options.log,
        latency_ms=options.latency_ms,
        retired=options.retired,
    )
    with api:
        print(api.url, flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
