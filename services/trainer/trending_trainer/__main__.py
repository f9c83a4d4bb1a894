"""The trainer as a process: `python -m trending_trainer`."""

from trending_shared.process import run
from trending_trainer.app import create_app
from trending_trainer.settings import TrainerSettings

if __name__ == "__main__":
    run("trainer", TrainerSettings, create_app)
