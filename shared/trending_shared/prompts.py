"""Prompts as bundles: immutable under the hash of their content, with aliases as models have them.

    prompts/<name>/<version>/prompt.json                   written once
    aliases/prompts/<name>/<alias>/00000001.json           see `registry`

A prompt is everything of a question that isn't the data: both messages, and how the answer is to be
sampled. People write it as a YAML file of the same fields.
"""

import json
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from trending_shared.errors import ObjectMissing, PromptNotFound, Rejected
from trending_shared.messages import content_hash
from trending_shared.registry import Aliases
from trending_shared.storage import ObjectStore

PLACE = "{data}"
"""Where the user's message takes the data."""
Parameter = Literal[
    "max_completion_tokens", "max_tokens", "reasoning_effort", "seed", "temperature", "top_p"
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


class PromptInvalid(Rejected):
    """What was to be registered is no prompt; the message says what is wrong with it."""


class Prompt(BaseModel):
    """What a language model is told besides the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    answers: str = Field(max_length=64, description="the form of the answers: insight-1")
    system: Words
    user: Words
    parameters: dict[Parameter, int | float | str] = {}
    """As chat completions take them; servers differ in which they know."""

    @model_validator(mode="after")
    def _has_one_place(self) -> "Prompt":
        if self.user.count(PLACE) != 1 or PLACE in self.system:
            raise ValueError(f"{PLACE} must stand once in `user`, and nowhere else")
        return self

    @property
    def version(self) -> str:
        """The hash of its content: 16 hex digits of SHA-256."""
        return content_hash(json.dumps(self.model_dump(), sort_keys=True))

    @property
    def sampling(self) -> dict[str, Any]:
        """The parameters as keywords."""
        return {str(name): value for name, value in self.parameters.items()}

    def messages(self, data: str) -> list[dict[str, str]]:
        """The system's and the user's message with the data in its place, left as it is."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user.replace(PLACE, data)},
        ]


def read_prompt(text: str) -> Prompt:
    """A prompt from its YAML.

    Raises:
        PromptInvalid: it can't be read, or a field isn't what it must be.
    """
    try:
        found: Any = yaml.safe_load(text)
        return Prompt.model_validate(found)
    except yaml.YAMLError as error:
        raise PromptInvalid("this isn't YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PromptInvalid(f"{where or 'prompt'}: {first['msg']}") from error


def write_prompt(prompt: Prompt) -> str:
    """A prompt as YAML; `read_prompt` gives the same one."""
    fields = prompt.model_dump()
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)


class PromptRegistry:
    """Prompts and their aliases in an object store; each call may raise `StoreUnavailable`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.aliases = Aliases(store, "aliases/prompts")

    def register(self, prompt: Prompt) -> str:
        """Store a prompt, once; returns its version."""
        self._store.put_new(_key(prompt.name, prompt.version), prompt.model_dump_json().encode())
        return prompt.version

    def get(self, name: str, version: str) -> Prompt:
        """A registered prompt.

        Raises:
            PromptNotFound: there is none, or its content isn't the one of this version.
        """
        try:
            prompt = Prompt.model_validate_json(self._store.get(_key(name, version)))
        except ObjectMissing as error:
            raise PromptNotFound(f"the registry holds no prompt {name} {version}") from error
        except ValidationError as error:
            raise PromptNotFound(f"the prompt {name} {version} can't be read") from error
        if (prompt.name, prompt.version) != (name, version):
            raise PromptNotFound(f"the prompt {name} {version} was changed")
        return prompt

    def versions(self, name: str | None = None) -> list[Prompt]:
        """All prompts, or those of a name, by name and version."""
        keys = self._store.keys(f"prompts/{name}" if name else "prompts")
        return [self.get(*key.split("/")[1:3]) for key in keys if key.endswith("/prompt.json")]


def _key(name: str, version: str) -> str:
    return f"prompts/{name}/{version}/prompt.json"
