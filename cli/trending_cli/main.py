"""The `trending` command line."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError
from typer.core import TyperGroup

from trending_cli import (
    audit,
    catalog,
    datasets,
    dead_letters,
    drift,
    experiments,
    features,
    imports,
    jobs,
    keys,
    models,
    prompts,
    retrain,
    sources,
    topics,
)
from trending_cli.backfill import backfill
from trending_cli.demo import demo
from trending_cli.doctor import doctor
from trending_cli.house import end_on_sigterm, running_house
from trending_cli.lineage import lineage
from trending_cli.output import Exit, console, fail, print_json, tell
from trending_cli.privacy import commands as privacy
from trending_cli.processes import SERVICES
from trending_cli.quality import commands as quality
from trending_cli.replay import replay
from trending_cli.smoke import smoke
from trending_cli.story import story
from trending_shared.errors import (
    BrokerUnavailable,
    ExperimentNotFound,
    ModelNotFound,
    PredictionUnknown,
    PromptNotFound,
    SettingInvalid,
    StoreUnavailable,
    TrendingError,
)
from trending_shared.logs import configure_logs
from trending_shared.settings import DEFAULT_HOME

_OBSERVED_EVERY = timedelta(seconds=5)
_STATUSES: dict[type[Exception], Exit] = {
    SettingInvalid: Exit.USAGE,
    ModelNotFound: Exit.NOT_FOUND,
    ExperimentNotFound: Exit.NOT_FOUND,
    PredictionUnknown: Exit.NOT_FOUND,
    PromptNotFound: Exit.NOT_FOUND,
    BrokerUnavailable: Exit.UNREACHABLE,
    StoreUnavailable: Exit.UNREACHABLE,
    KafkaError: Exit.UNREACHABLE,
    TrendingError: Exit.FAILED,
}  # the first that fits


class _Commands(TyperGroup):
    """Turns the errors we raise on purpose into one line and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TrendingError, KafkaError) as error:
            status = next(code for kind, code in _STATUSES.items() if isinstance(error, kind))
            raise fail(str(error), status) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Trending Now: which films and shows are rising, what kind each is, and why.",
    epilog="Exit statuses: 0 done · 1 failed, or something is parked · 2 wrong usage or setting · "
    "3 not found · 4 Kafka or the store unreachable · 130 interrupted",
)
app.command()(demo)
app.command()(lineage)
app.command()(story)
app.command()(replay)
app.command()(smoke)
app.command()(backfill)
app.command()(doctor)
app.add_typer(jobs.app, name="jobs")
app.add_typer(imports.app, name="import")
app.add_typer(topics.app, name="topics")
app.add_typer(sources.app, name="sources")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(datasets.app, name="datasets")
app.add_typer(models.app, name="models")
app.add_typer(prompts.app, name="prompts")
app.add_typer(experiments.app, name="experiment")
app.add_typer(quality.app, name="quality")
app.add_typer(drift.app, name="drift")
app.add_typer(audit.app, name="audit")
app.add_typer(privacy.app, name="privacy")
app.add_typer(retrain.app, name="retrain")
app.add_typer(features.app, name="features")
app.add_typer(keys.app, name="keys")
app.add_typer(catalog.app, name="catalog")


@app.command()
def up(
    service: Annotated[
        list[str] | None, typer.Option(help="Only this service; may be repeated.")
    ] = None,
    home: Annotated[
        Path, typer.Option(envvar="TRENDING_HOME", help="Where everything is kept.")
    ] = DEFAULT_HOME,
    port: Annotated[int, typer.Option(help="Port of the gateway.")] = 8080,
    observe: Annotated[
        bool, typer.Option("--observe", help="Start Prometheus as well, if it is installed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Addresses as one JSON line.")] = False,
) -> None:
    """Start Kafka and the services, and keep them running until Ctrl-C."""
    unknown = set(service or ()) - set(SERVICES)
    if unknown:
        raise fail(f"no service {', '.join(unknown)}; there are {', '.join(SERVICES)}", Exit.USAGE)
    end_on_sigterm()
    names = tuple(service or SERVICES)
    # Once all is up, Ctrl-C is how this ends, be it before the last line of what is told.
    with (
        running_house(
            home,
            services=names,
            ports={"inference": port},
            observe_every=_OBSERVED_EVERY if observe else None,
            tell=tell,
        ) as house,
        suppress(KeyboardInterrupt),
    ):
        addresses = {"kafka": house.bootstrap}
        addresses |= {name: child.url for name, child in house.stack.children.items()}
        if as_json:
            print_json(addresses)
        else:
            for name, url in addresses.items():
                console.print(f"{name:<11} {url}")
            if observe:
                console.print(f"alerts      {addresses['prometheus']}/alerts")
            console.print("Ctrl-C stops everything")
        house.wait()


def main() -> None:
    """The `trending` command: libraries log nothing, errors are ours to tell."""
    configure_logs(service="cli", level="CRITICAL")
    app()


if __name__ == "__main__":
    main()
