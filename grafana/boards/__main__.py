"""Writes grafana/dashboards/*.json and grafana/alerting/rules.json anew; run by `make dashboards`.

`--check` writes nothing and exits 1 when a file is not what the code says.
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from .alerts import rules
from .costs import costs
from .decisions import ai_decisions
from .effectiveness import effectiveness
from .overview import overview

FOLDER = Path(__file__).resolve().parents[1]
FILES = {
    "dashboards/agent-overview.json": overview,
    "dashboards/ai-decisions.json": ai_decisions,
    "dashboards/agent-effectiveness.json": effectiveness,
    "dashboards/cost-performance.json": costs,
    "alerting/rules.json": rules,
}


def main() -> int:
    """Write or check; return the exit status."""
    wanted = {FOLDER / name: json.dumps(make(), cls=JSONEncoder, indent=2) + "\n" for name, make in FILES.items()}
    found = {path for folder in ("dashboards", "alerting") for path in (FOLDER / folder).glob("*.json")}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    surplus = sorted(found - set(wanted))
    if "--check" in sys.argv:
        for path in (*stale, *surplus):
            print(f"grafana/{path.relative_to(FOLDER)} is not what the code says: run make dashboards")
        return int(bool(stale or surplus))
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in surplus:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
