"""`trending prompts`: what language models are told, as bundles of the registry."""

from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from trending_cli import clients
from trending_cli.output import (
    Exit,
    JsonOption,
    console,
    errors,
    fail,
    print_json,
    print_table,
    shown,
    warn,
)
from trending_shared.prompts import Prompt, PromptRegistry, read_prompt, write_prompt
from trending_shared.registry import CHAMPION
from trending_shared.storage import ObjectStore

app = typer.Typer(no_args_is_help=True, help="See, register and promote prompts.")

NameOption = Annotated[str, typer.Option("--prompt", help="The registry's name of the prompt.")]


def _registry() -> PromptRegistry:
    return PromptRegistry(ObjectStore.at(clients.settings().store))


def _prompt(registry: PromptRegistry, name: str, version: str) -> Prompt:
    if version == CHAMPION:
        pointer = registry.aliases.pointer(name)
        if pointer is None:
            raise fail(f"{name} has no champion: the built-in prompt is in force", Exit.NOT_FOUND)
        version = pointer.version
    return registry.get(name, version)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List all prompts; without a champion the one that comes with the gateway is in force."""
    registry = _registry()
    found = [
        {
            "name": prompt.name,
            "version": prompt.version,
            "champion": pointer is not None and pointer.version == prompt.version,
            "answers": prompt.answers,
        }
        for prompt in registry.versions()
        for pointer in [registry.aliases.pointer(prompt.name)]
    ]
    if as_json:
        print_json(found)
        return
    rows = [
        [each["name"], each["version"], "champion" if each["champion"] else "", each["answers"]]
        for each in found
    ]
    print_table("prompts", ["name", "version", "alias", "answers"], rows)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="A version, or champion.")] = CHAMPION,
    name: NameOption = "insights",
    as_json: JsonOption = False,
) -> None:
    """Show a prompt as the file that `register` takes."""
    prompt = _prompt(_registry(), name, version)
    if as_json:
        print_json({**prompt.model_dump(), "version": prompt.version})
    else:
        console.print(shown(write_prompt(prompt)), soft_wrap=True)


@app.command()
def register(
    file: Annotated[Path, typer.Argument(help="A YAML file.", exists=True, dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Store a prompt under the hash of its content; nothing is asked with it yet."""
    prompt = read_prompt(file.read_text(encoding="utf-8"))
    version = _registry().register(prompt)
    if as_json:
        print_json({"name": prompt.name, "version": version})
    else:
        console.print(shown(f"{prompt.name} {version}"))


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="The version to put in force.")],
    name: NameOption = "insights",
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion: gateways ask with it from their next look on."""
    registry = _registry()
    prompt = registry.get(name, version)
    pointer = registry.aliases.move(
        name,
        prompt.version,
        expected=registry.aliases.pointer(name),
        reasons=(reason,),
        moved_by=getuser(),
        at=datetime.now(UTC),
    )
    if as_json:
        print_json(pointer)
    else:
        console.print(shown(f"{name} is now asked with {pointer.version}"))


@app.command("probe")
def probe_(
    url: Annotated[str, typer.Option(help="The gateway's.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str | None,
        typer.Option(envvar="TRENDING_KEY", help="Of the scope predict, if it asks for one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask about stories in which one thing is swapped: country, language, gender, name, decade.

    The prompt in force and the gateway's language model answer 72 questions, which count against
    the caller's budget. Status 1 if a swap surely changes what is told, or nothing was answered.
    """
    from rich.progress import track  # the questions take as long as the language model does

    from trending_cli.prompt_probe import probe, stories  # NumPy

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:

        def ask(body: Any) -> Any:
            try:
                answer = client.post("/v1/insights", json=body)
            except httpx.HTTPError as error:
                raise fail(f"no gateway answers at {url}: {error!r}", Exit.UNREACHABLE) from error
            if answer.is_error:
                raise fail(f"the gateway answered {answer.status_code}: {answer.text[:300]}")
            return answer.json()

        bar = iter(
            track(
                range(sum(1 for _ in stories())),
                description="stories",
                console=errors,
                disable=as_json,
            )
        )
        found = probe(ask, each=lambda: next(bar, None))
    if as_json:
        print_json(found)
    else:
        print_table(
            f"what swaps change, by {found.llm or 'no language model'}",
            ["swap", "measure", "pairs", "change", "95 %", "p", ""],
            [
                [
                    each.swap,
                    each.measure,
                    each.pairs,
                    "" if each.mean is None else f"{each.mean:+.2f}",
                    "" if each.low is None else f"{each.low:+.2f} to {each.high:+.2f}",
                    "too few" if each.p is None else f"{each.p:.3f}",
                    "differs" if each.differs else "",
                ]
                for each in found.differences
            ],
        )
    for reason, count in found.unanswered.items():
        warn(f"{count} of {found.asked} answers had nothing of a language model: {reason}")
    if len(found.unanswered) and sum(found.unanswered.values()) == found.asked:
        raise fail("nothing was measured; the gateway needs OPENAI_API_KEY, and budget")
    if found.biased:
        raise fail(f"what is told changes with: {', '.join(found.biased)}")
