"""The generated reference: nothing that can be asked, set, counted or typed is left out of it."""

import re
from pathlib import Path
from typing import Any

from trending_cli.references import comments_of, http_page

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def test_every_route_and_every_body_has_its_place(services: dict[str, Any]) -> None:
    description = services["inference"].openapi()
    told = set(re.findall(r"^### (.+)$", page("http"), re.MULTILINE))
    routes = {
        f"{method.upper()} {path}"
        for path, methods in description["paths"].items()
        for method in methods
    }
    assert told == routes | set(description["components"]["schemas"])


def test_what_a_body_refers_to_is_on_the_page() -> None:
    headings = {name.lower() for name in re.findall(r"^#+ (\w+)$", page("http"), re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", page("http"))) <= headings


def test_every_variable_of_the_example_is_told_once_with_what_it_means() -> None:
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \|(.*)\|(.*)\|(.*)\|$", page("settings"), re.MULTILINE)
    assert sorted(row[0] for row in rows) == sorted(
        comments_of((ROOT / ".env.example").read_text())
    )


def test_a_comment_belongs_to_the_variable_below_it() -> None:
    example = "# ---- all\n\n# One\n# line.\n#ONE=1\n#TWO=\n\n# Of nothing.\n\n#THREE=\n"
    assert comments_of(example) == {"ONE": "One line.", "TWO": "", "THREE": ""}


def test_metrics_have_help_and_commands_have_a_sentence() -> None:
    metrics = re.findall(
        r"^\| `(trending_\w+)` \|(?:[^|]*\|){3} ([^|]+) \|$", page("metrics"), re.M
    )
    assert len(metrics) > 100
    commands = re.findall(
        r"^\| \[`(trending [\w -]+)`\]\(#[\w-]+\) \| (.+) \|$", page("commands"), re.M
    )
    assert len(commands) > 40


def test_an_example_is_made_of_those_that_a_schema_gives() -> None:
    made = http_page(
        {
            "info": {"summary": "A service"},
            "paths": {
                "/things/{id}": {
                    "put": {
                        "tags": ["things"],
                        "summary": "Change a thing",
                        "description": "It is | changed.",
                        "parameters": [
                            {"name": "id", "in": "path", "required": True, "schema": {"example": 7}}
                        ],
                        "requestBody": {
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/Thing"}
                                }
                            }
                        },
                        "responses": {"204": {"description": "Changed"}},
                    }
                }
            },
            "components": {
                "schemas": {
                    "Thing": {
                        "properties": {
                            "name": {"type": "string", "examples": ["it's | one"]},
                            "parts": {"type": "array", "items": {"type": "integer"}},
                        }
                    }
                }
            },
        }
    )
    assert "curl -s -X PUT localhost:8080/things/7 -H" in made
    assert """-d '{"name": "it’s | one", "parts": [1]}'""" in made
    assert "| `parts` (optional) | list of integer |" in made
