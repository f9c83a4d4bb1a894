"""What was decided about retraining, and what would be: `python -m trending_monitor.foreseeing`.

One JSON document, from the catalog and the registry alone; `trending retrain why` shows it.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prometheus_client import CollectorRegistry

from trending_monitor.deciding import Decider
from trending_monitor.metrics import MonitorMetrics
from trending_monitor.settings import MonitorSettings
from trending_shared.catalog import Catalog
from trending_shared.clock import SystemClock
from trending_shared.errors import TrendingError
from trending_shared.logs import configure_logs
from trending_shared.settings import read_settings
from trending_shared.storage import ObjectStore


async def foresee(settings: MonitorSettings, *, limit: int, reason: str, force: bool) -> Any:
    """The last decisions, newest first, and by trigger what it would come to now."""
    catalog = Catalog(settings.catalog)
    decider = Decider(
        catalog=catalog,
        store=ObjectStore.at(settings.store),
        metrics=MonitorMetrics(CollectorRegistry()),
        clock=SystemClock(),
        policy=settings.retrain_policy,
    )
    try:
        await catalog.create()
        decided = await decider.last(limit)
        now = await decider.foresee(reason=reason, force=force)
    finally:
        await catalog.close()
    return {"decided": decided, "now": {kind: asdict(found) for kind, found in now.items()}}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trending_monitor.foreseeing",
        description="What was decided about retraining, and what would be decided now; JSON.",
    )
    parser.add_argument("--limit", type=int, default=20, help="decisions to show")
    parser.add_argument("--reason", default="what if", help="what a person would say")
    parser.add_argument("--force", action="store_true", help="and that they would insist")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(MonitorSettings)
        configure_logs(service="foreseeing", level="WARNING")  # on stderr
        found = asyncio.run(
            foresee(settings, limit=options.limit, reason=options.reason, force=options.force)
        )
    except TrendingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{json.dumps(found, default=str)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
