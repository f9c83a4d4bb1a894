"""`trending keys`: keys for those who ask the gateway."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from trending_cli.output import Exit, JsonOption, fail, print_json, tell
from trending_shared.api_keys import ApiKey, Scope

app = typer.Typer(no_args_is_help=True, help="Make keys for those who ask the gateway.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who gets it; logs show this name.")],
    scope: Annotated[
        list[Scope],
        typer.Option(help="What it is good for; may be repeated. None includes another."),
    ],
    days: Annotated[
        int | None, typer.Option(min=1, max=3660, help="Days until it expires; never, if not set.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once; what the gateway is told can't be turned back into it.

    To replace a key, make another under the same name, set both lines, and take the old one out
    when nobody uses it any more.
    """
    last_day = datetime.now(UTC).date() + timedelta(days=days) if days else None
    try:
        key, kept = ApiKey.create(name, scope, last_day)
    except ValueError as error:
        raise fail(str(error), Exit.USAGE) from error
    if as_json:
        print_json(
            {
                "name": kept.name,
                "scopes": [each for each in Scope if each in kept.scopes],
                "last_day": kept.last_day,
                "key": key,
                "line": kept.line,
            }
        )
        return
    typer.echo(key)
    tell("above is the key, which is kept nowhere; below its line for INFERENCE_API_KEYS")
    typer.echo(kept.line)
