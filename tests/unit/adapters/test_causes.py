"""Causes in a few words, from real failed connections."""

import re
import socket

import urllib3

from reasond.adapters.causes import short_cause
from tests.testbed.process import free_ports


def failure(port, timeout_s=1.0):
    """Give the error of a request to a loopback port."""
    try:
        urllib3.PoolManager(retries=False).request("GET", "http://127.0.0.1:{}/".format(port), timeout=timeout_s)
    except urllib3.exceptions.HTTPError as err:
        return err
    raise AssertionError("something answered")


def test_refused_connection_is_told_as_such():
    assert short_cause(failure(free_ports(1)[0])) == "Connection refused"


def test_silent_server_is_told_as_no_answer_in_time():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)

        assert short_cause(failure(listener.getsockname()[1], 0.1)) == "no answer in time"


def test_no_object_address_and_no_newline_is_ever_in_it():
    try:
        urllib3.PoolManager(retries=False).request("GET", "http://name.invalid:1/", timeout=1.0)
    except urllib3.exceptions.HTTPError as err:
        text = short_cause(err)

    assert text and not re.search("0x[0-9a-f]{6}|\n", text)
