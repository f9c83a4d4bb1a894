"""The monitor as a process: `python -m trending_monitor`."""

from trending_monitor.app import create_app
from trending_monitor.settings import MonitorSettings
from trending_shared.process import run

if __name__ == "__main__":
    run("monitor", MonitorSettings, create_app)
