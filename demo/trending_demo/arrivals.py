"""What the site shows after a new owner: films and shows in German, of other genres, all made up.

Plots are put together from clauses in four places, seven for each. Title (i, j) of a genre takes
the clauses i, j, i + j and i + 2j modulo seven: as seven is a prime, two titles of a genre have at
most one clause in common (orthogonal Latin squares; Bose, "On the application of the properties of
Galois fields to the construction of hyper-Graeco-Latin squares", Sankhyā 3, 1938), so no plot
nearly repeats another.
"""

import random
import re
import unicodedata
from importlib import resources
from typing import get_args

from pydantic import BaseModel, ConfigDict

from trending_demo.catalogue import Catalogue, Genre, Title

EACH = 7  # clauses in a place; a prime
FIRST = 4  # of the seven towns; titles of the others come later


class Clauses(BaseModel):
    """What titles of a genre are called, and how their plots may go on; `EACH` of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    heroes: tuple[str, ...]
    wants: tuple[str, ...]
    obstacles: tuple[str, ...]
    turns: tuple[str, ...]

    def plot(self, i: int, j: int) -> str:
        return " ".join(
            (
                self.heroes[i],
                self.wants[j],
                self.obstacles[(i + j) % EACH],
                self.turns[(i + 2 * j) % EACH],
            )
        )


class Material(BaseModel):
    """The file `arrivals.json`; the n-th town lies in the n-th country."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    towns: tuple[str, ...]
    countries: tuple[str, ...]
    genres: dict[Genre, Clauses]


def arrivals_in_turn(*, wrong: bool = False) -> tuple[Catalogue, Catalogue]:
    """The same in two parts, of 140 and of 105 titles; the second comes when models know the first.

    What a model has been chosen by can't judge it, so whoever tries one needs titles that are new.
    """
    early: list[Title] = []
    late: list[Title] = []
    for number, title in enumerate(arrivals(wrong=wrong).titles):
        (early if number % EACH < FIRST else late).append(title)
    return Catalogue(tuple(early)), Catalogue(tuple(late))


def arrivals(*, wrong: bool = False) -> Catalogue:
    """The catalogue of 245 titles, the same every time.

    Args:
        wrong: every title is said to be of a genre that is drawn from all sixteen, with a fixed
            seed, so that there is nothing to learn from.
    """
    file = resources.files("trending_demo") / "arrivals.json"
    material = Material.model_validate_json(file.read_bytes())
    places = [(genre, i, j) for genre in material.genres for i in range(EACH) for j in range(EACH)]
    genres = [genre for genre, _, _ in places]
    if wrong:
        genres = random.Random(0).choices(get_args(Genre), k=len(places))
    return Catalogue(
        tuple(
            _title(material, *place, told=genre)
            for place, genre in zip(places, genres, strict=True)
        )
    )


def _title(material: Material, genre: Genre, i: int, j: int, *, told: Genre) -> Title:
    name = f"{material.genres[genre].names[i]} – {material.towns[j]}"
    is_film = (i + j) % 2 == 0
    year = 2021 + (i + 3 * j) % 5
    return Title(
        id=f"{_slug(name)}-{year}",
        name=name,
        kind="film" if is_film else "show",
        year=year,
        genres=(told,),
        plot=material.genres[genre].plot(i, j),
        countries=(material.countries[j],),
        language="German",
        runtime_minutes=85 + 5 * i if is_film else 25 + 5 * j,
        seasons=None if is_film else 1 + i % 3,
    )


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
