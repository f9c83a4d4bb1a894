"""The cleaner as a process: `python -m trending_cleaner`."""

from trending_cleaner.app import create_app
from trending_cleaner.settings import CleanerSettings
from trending_shared.process import run

if __name__ == "__main__":
    run("cleaner", CleanerSettings, create_app)
