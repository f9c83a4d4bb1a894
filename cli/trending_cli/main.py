"""The `trending` command line."""

import time
from pathlib import Path
from typing import Annotated

import typer

from trending_cli import dead_letters, jobs, models, topics
from trending_cli.demo import demo
from trending_cli.doctor import doctor
from trending_cli.house import end_on_sigterm, running_house
from trending_cli.lineage import lineage
from trending_cli.output import Exit, console, errors, fail, print_json
from trending_cli.processes import SERVICES
from trending_shared.errors import TrendingError
from trending_shared.settings import DEFAULT_HOME

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Trending Now: which films and shows are rising, what kind each is, and why.",
    epilog="Exit statuses: 0 done · 1 failed, or something is parked · 2 wrong usage or setting · "
    "3 not found · 4 Kafka unreachable · 130 interrupted",
)
app.command()(demo)
app.command()(lineage)
app.command()(doctor)
app.add_typer(jobs.app, name="jobs")
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(models.app, name="models")


@app.command()
def up(
    service: Annotated[
        list[str] | None, typer.Option(help="Only this service; may be repeated.")
    ] = None,
    home: Annotated[Path, typer.Option(help="Where everything is kept.")] = DEFAULT_HOME,
    port: Annotated[int, typer.Option(help="Port of the gateway.")] = 8080,
    as_json: Annotated[bool, typer.Option("--json", help="Addresses as one JSON line.")] = False,
) -> None:
    """Start Kafka and the services, and keep them running until Ctrl-C."""
    unknown = set(service or ()) - set(SERVICES)
    if unknown:
        raise fail(f"no service {', '.join(unknown)}; there are {', '.join(SERVICES)}", Exit.USAGE)
    end_on_sigterm()
    names = tuple(service or SERVICES)
    try:
        with running_house(
            home,
            services=names,
            ports={"inference": port},
            tell=lambda text: errors.print(f"[dim]{text}[/]", highlight=False),
        ) as house:
            addresses = {name: house.url(name) for name in names}
            if as_json:
                print_json({"kafka": house.bootstrap, **addresses})
            else:
                for name, url in {"kafka": house.bootstrap, **addresses}.items():
                    console.print(f"{name:<11} {url}")
                console.print("Ctrl-C stops everything")
            while house.stack.failed is None:
                time.sleep(0.5)
            raise fail(house.stack.failed)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.OK) from None
    except TrendingError as error:
        raise fail(str(error)) from error


if __name__ == "__main__":
    app()
