"""The gateway as a process, or as several: `python -m trending_inference`."""

import os
import sys

from trending_inference.settings import InferenceSettings
from trending_inference.workers import PARENT, Workers, end_with, listen
from trending_shared.errors import SettingInvalid
from trending_shared.logs import configure_logs
from trending_shared.settings import read_settings


def main() -> None:
    parent = os.environ.get(PARENT)
    if parent is None and len(sys.argv) == 1 and (settings := _of_several()) is not None:
        configure_logs(service="inference", level=settings.log_level, format=settings.log_format)
        raise SystemExit(Workers(settings).run())
    if parent is not None:
        end_with(int(parent))
    # Here, because the parent of several needs none of it.
    from trending_inference.app import create_app
    from trending_inference.door import Door
    from trending_shared.process import run

    run(
        "inference",
        InferenceSettings,
        create_app,
        listen=lambda of: listen(of.host, of.port, shared=parent is not None),
        http=Door,
        stopping=lambda app: app.state.jobs.stop(),
    )


def _of_several() -> InferenceSettings | None:
    try:
        settings = read_settings(InferenceSettings)
    except SettingInvalid:
        return None  # `run` says what is wrong
    return settings if settings.workers > 1 else None


if __name__ == "__main__":
    main()
