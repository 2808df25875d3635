"""RabbitMQ's management API on a test host, asked as the set-up's user."""

import base64
from typing import Any

from tests.testbed.http import send_json


class Management:
    """What the ledger asks of a broker; the address is HOST:PORT."""

    def __init__(self, address: str, password: str) -> None:
        sign = base64.b64encode(f"reasond-setup:{password}".encode()).decode()
        self._base, self._headers = f"http://{address}", {"Authorization": f"Basic {sign}"}

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask; the path begins with /api."""
        return send_json(method, self._base + path, body, self._headers)
