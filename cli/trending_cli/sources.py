"""`trending sources`: what may be asked, on which terms, and what the sources asked still lack.

What the scraper will be told is read from the same variables, because the command line knows no
service. The values of keys are looked at and never shown.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import typer
from pydantic import TypeAdapter, ValidationError

from trending_cli import clients
from trending_cli.output import Exit, JsonOption, console, print_facts, print_json, shown, warn
from trending_shared.errors import SettingInvalid
from trending_shared.imports import HOST as IMPORTS
from trending_shared.sources import SourceEntry, read_catalogue

app = typer.Typer(no_args_is_help=True, help="See the sources that may be asked, and check them.")

Catalogue = Mapping[str, SourceEntry]
_TRUE_OR_FALSE = TypeAdapter(bool)


@dataclass(frozen=True, slots=True)
class Told:
    """What the scraper is told about its sources (`SCRAPER_…`)."""

    environ: Mapping[str, str]

    @property
    def sources(self) -> frozenset[str]:
        """The names of those that are asked."""
        return self._names("SOURCES") | (
            {"demo"} if self.value("SCRAPER_DEMO_URL") else frozenset()
        )

    @property
    def private_hosts(self) -> frozenset[str]:
        return self._names("ALLOWED_PRIVATE_HOSTS")

    def value(self, variable: str) -> str:
        return self.environ.get(variable, "")

    def is_true(self, variable: str, *, unless_set: bool = False) -> bool:
        """Raises `SettingInvalid` if it is neither true nor false."""
        value = self.value(variable)
        try:
            return _TRUE_OR_FALSE.validate_python(value) if value else unless_set
        except ValidationError as error:
            raise SettingInvalid(f"{variable}: {value!r} is neither true nor false") from error

    def base(self, name: str, entry: SourceEntry) -> str:
        """Where a source's addresses begin; the demo's is told by a setting."""
        return self.value("SCRAPER_DEMO_URL") if name == "demo" else entry.base

    def _names(self, variable: str) -> frozenset[str]:
        parts = self.value(f"SCRAPER_{variable}").split(",")
        return frozenset(part.strip().lower() for part in parts if part.strip())


def find_problems(catalogue: Catalogue, told: Told) -> list[str]:
    """What would keep the scraper from starting, or a job from being done; how to mend it."""
    problems = list(_problems(catalogue, told))
    return sorted(set(problems), key=problems.index)


def _problems(catalogue: Catalogue, told: Told) -> Iterator[str]:
    if unknown := told.sources - catalogue.keys():
        known = ", ".join(sorted(catalogue))
        yield f"SCRAPER_SOURCES: the catalogue has no {', '.join(sorted(unknown))}, but {known}"
    foreign: set[str] = set()
    for name in sorted(told.sources & catalogue.keys()):
        entry = catalogue[name]
        hosts = source_hosts(told.base(name, entry), entry)
        foreign |= hosts - told.private_hosts - {IMPORTS}
        yield from _needs(name, entry, told)
        nowhere = not told.base(name, entry) and not entry.hosts
        if nowhere and entry.robots.decision == "obey":
            yield (
                f"SOURCES_FILE: {name} has no base and no hosts, so none may be visited; name them "
                "in a catalogue of your own"
            )
        for schedule, host in scheduled_hosts(entry):
            if host not in hosts:
                yield (
                    f"SOURCES_FILE: {name}.schedule.{schedule}: {host} is none of its hosts; add "
                    f"it to {name}.hosts, or mend the address"
                )
    if foreign and not told.value("SCRAPER_CONTACT"):
        yield (
            "SCRAPER_CONTACT: a URL or mail address is needed before visiting "
            f"{', '.join(sorted(foreign))}"
        )


def _needs(name: str, entry: SourceEntry, told: Told) -> Iterator[str]:
    leave_out = f"or leave {name} out of SCRAPER_SOURCES"
    if entry.key and not told.value(entry.key.variable):
        yield f"{entry.key.variable}: get a key for {name} from {entry.key.where}, {leave_out}"
    if entry.consent:
        try:
            accepted = told.is_true(entry.consent)
        except SettingInvalid as error:
            yield str(error)
        else:
            if not accepted:
                yield f"{entry.consent}: read {entry.terms} and set it to true, {leave_out}"
    base = told.base(name, entry)
    if base and authority(base) is None:
        where = "SCRAPER_DEMO_URL" if name == "demo" else f"SOURCES_FILE: {name}.base"
        yield f"{where}: {base!r} must look like http://127.0.0.1:8080"


def source_hosts(base: str, entry: SourceEntry) -> set[str]:
    """The hosts that may be asked for a source."""
    return {*entry.hosts, *filter(None, [authority(base)])}


def scheduled_hosts(entry: SourceEntry) -> Iterator[tuple[str, str | None]]:
    """The schedules of a source, and the hosts that they ask."""
    for name, schedule in entry.schedule.items():
        yield name, authority(schedule.url)


def authority(url: str) -> str | None:
    """Host and port of a web address: `films.example:443`; none if it isn't one."""
    parts = urlsplit(url)
    ports = {"http": 80, "https": 443}
    try:
        port = parts.port or ports[parts.scheme]
    except (KeyError, ValueError):
        return None
    return f"{parts.hostname}:{port}" if parts.hostname else None


# ---------------------------------------------------------------- commands


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the sources: what they give, on which terms, and when they are asked next."""
    catalogue, told = read_catalogue(clients.settings().sources_file), Told(os.environ)
    rows = [describe(name, catalogue[name], told, datetime.now(UTC)) for name in sorted(catalogue)]
    if as_json:
        print_json(rows)
        return
    print_facts({row["source"]: _lines(row) for row in rows})


def describe(name: str, entry: SourceEntry, told: Told, now: datetime) -> dict[str, Any]:
    """A source as plain data; when its schedules fall due, if it is asked."""
    asked = name in told.sources
    scheduled = asked and told.is_true("SCRAPER_SCHEDULES", unless_set=True)
    needs = {entry.key.variable: bool(told.value(entry.key.variable))} if entry.key else {}
    if entry.consent:
        needs[entry.consent] = told.is_true(entry.consent)
    return {
        "source": name,
        "title": entry.title,
        "gives": entry.gives,
        "license": entry.license,
        "attribution": entry.attribution,
        "terms": entry.terms,
        "training": entry.training,
        "commercial": entry.commercial,
        "needs": needs,
        "asked": asked,
        "delay_seconds": entry.delay.total_seconds(),
        "daily_limit": entry.daily_limit,
        "schedule": {
            key: {
                "every_seconds": schedule.every.total_seconds(),
                "next_due": schedule.begins(now) + schedule.every if scheduled else None,
                "url": schedule.url,
            }
            for key, schedule in entry.schedule.items()
        },
    }


def _lines(source: Mapping[str, Any]) -> str:
    """What a source gives, then how it is asked, and when."""
    needs = [
        f"needs {name}{', which is set' if ok else ''}" for name, ok in source["needs"].items()
    ]
    pace = f"one request in {_length(source['delay_seconds'])}" if source["delay_seconds"] else ""
    limit = f"{source['daily_limit']} a day" if source["daily_limit"] else ""
    facts = ["asked" if source["asked"] else "", source["license"], *needs, pace, limit]
    lines = [source["gives"], " · ".join(filter(None, facts))]
    for name, schedule in source["schedule"].items():
        next_due: datetime | None = schedule["next_due"]
        due = f", next {next_due:%m-%d %H:%M}" if next_due else ""
        lines.append(f"{name} every {_length(schedule['every_seconds'])}{due}")
    return "\n".join(lines)


def _length(seconds: float) -> str:
    """A duration in the largest unit that fits: `6 h`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


@app.command()
def check(as_json: JsonOption = False) -> None:
    """Look whether the catalogue and all sources that are asked are in order. Status 1 if not.

    Nothing is visited.
    """
    told = Told(os.environ)
    try:
        problems = find_problems(read_catalogue(clients.settings().sources_file), told)
    except SettingInvalid as error:
        problems = [str(error)]
    if as_json:
        print_json({"asked": sorted(told.sources), "problems": problems})
    else:
        for problem in problems:
            console.print(shown(problem), soft_wrap=True)
        if not told.sources:
            warn("no source is asked; name some of `trending sources list` in SCRAPER_SOURCES")
        elif not problems:
            console.print(f"[green]in order:[/] {', '.join(sorted(told.sources))}")
    if problems:
        raise typer.Exit(Exit.FAILED)
