"""The gateway as a process: `python -m trending_inference`."""

from trending_inference.app import create_app
from trending_inference.settings import InferenceSettings
from trending_shared.worker import run

if __name__ == "__main__":
    run("inference", InferenceSettings, create_app)
