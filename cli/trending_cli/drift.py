"""`trending drift`: reports on what was served on a day."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Reports on what was served on a day.")


@app.command()
def report(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC; the last one without.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Compare a day's predictions and insights with what is known, and keep and publish it.

    The monitor does so by itself once a day has ended; a report that is there is made again.
    """
    asked = day.date() if day else datetime.now(UTC).date() - timedelta(days=1)
    # The monitor's own program: its libraries are large, and nobody else's business.
    command = [sys.executable, "-m", "trending_monitor.reporting", str(asked)]
    done = subprocess.run([*command, *(["--json"] if as_json else [])], check=False)
    raise typer.Exit(done.returncode)
