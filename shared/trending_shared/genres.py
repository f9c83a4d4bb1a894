"""The sixteen genres that everything here speaks of, and what other sites' labels mean in them.

A label may mean one genre, two (`Romantic Comedy`), or none: it then says something else about a
title, such as its country, audience or technique. A label that isn't written down here is unknown,
which is worth a look; it never becomes a guess.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

GENRES = (
    "Action & Adventure",
    "Anime",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Faith & Spirituality",
    "Horror",
    "Kids & Family",
    "Music & Musicals",
    "Reality",
    "Romance",
    "Sci-Fi & Fantasy",
    "Sports",
    "Stand-Up & Talk",
    "Thriller & Mystery",
)


NAMED, SYNONYM, SHARED, LOCAL = 1.0, 0.9, 0.8, 0.7


@dataclass(frozen=True, slots=True)
class GenreMapping:
    """What a title's labels mean, and how sure that is.

    The confidence of a genre is that of the clearest label that means it:

        1.0  its name, or a half of it, in any spelling: `Thrillers`, `TV Sci-Fi`
        0.9  another word for it or a kind of it alone: `suspense`, `sitcom`
        0.8  a label that means two genres: `romantic comedy`, `superhero`
        0.7  a label that means this on its source only

    A scale of our judgement, not a measured probability; it orders what a person should look at.
    """

    confidence: Mapping[str, float]
    """By canonical genre, in alphabetical order."""
    unknown: tuple[str, ...]
    """Labels as they were given, each once, in their order."""

    @property
    def genres(self) -> tuple[str, ...]:
        return tuple(self.confidence)


def map_genres(source: str, labels: Iterable[str]) -> GenreMapping:
    """Translate a source's labels.

    Args:
        source: where they come from; few labels mean another thing on one source than elsewhere.
        labels: in any spelling: `Sci-Fi & Fantasy`, `science fiction film` and `TV Sci-Fi` are one.
    """
    found: dict[str, float] = {}
    unknown: dict[str, str] = {}
    for label in labels:
        meaning = _read(source, label)
        if meaning is None:
            unknown.setdefault(_spell(label), label.strip())
            continue
        for genre, confidence in meaning:
            found[genre] = max(confidence, found.get(genre, 0.0))
    return GenreMapping(dict(sorted(found.items())), tuple(unknown.values()))


@lru_cache(maxsize=10_000)  # a source has some hundred labels, and each title three of them
def _read(source: str, label: str) -> tuple[tuple[str, float], ...] | None:
    """The genres that a label means, and how surely each; None if nobody knows."""
    own = _OF_SOURCE.get(source, {})
    spelling = _spell(label)
    short = _shorten(spelling)
    for table, word in ((own, spelling), (_MEANING, spelling), (own, short), (_MEANING, short)):
        if word in table:
            meant = table[word]
            return tuple((genre, _confidence(genre, word, meant, table is own)) for genre in meant)
    return None


def _confidence(genre: str, word: str, meant: Collection[str], local: bool) -> float:
    if local:
        return LOCAL
    if len(meant) > 1:
        return SHARED
    plain = word.replace("science fiction", "sci fi").replace("scifi", "sci fi")
    return NAMED if {plain, _singular(plain)} & _NAMES[genre] else SYNONYM


_APOSTROPHE = re.compile("['‘’]")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_MEDIUM = {
    *("film", "films", "movie", "movies", "feature", "features", "tv", "television"),
    *("show", "shows", "series", "programme", "program", "programming", "genre"),
}


def _spell(label: str) -> str:
    """Lower case, `and` for `&`, no apostrophes, single spaces for all other punctuation."""
    spelled_out = _APOSTROPHE.sub("", label.casefold()).replace("&", " and ")
    return _BETWEEN_WORDS.sub(" ", spelled_out).strip()


def _shorten(spelling: str) -> str:
    """Without the words that only say film or show: `tv dramas` is `dramas`."""
    return " ".join(word for word in spelling.split() if word not in _MEDIUM)


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def _names(genre: str) -> frozenset[str]:
    """A genre's name with and without `and`, and the halves of a double name."""
    name = _spell(genre)
    halves = name.split(" and ")
    return frozenset({name, " ".join(halves), *halves, *map(_singular, halves)})


_NAMES = {genre: _names(genre) for genre in GENRES}


def _table(*meanings: tuple[Iterable[str], str]) -> dict[str, frozenset[str]]:
    table: dict[str, frozenset[str]] = {}
    for genres, labels in meanings:
        for label in labels.split(","):
            spelling = _spell(label)
            table[spelling] = table.get(spelling, frozenset()).union(genres)
    return table


# What two lines name means both; the second part holds what isn't a genre.
_MEANING = _table(
    *(([genre], genre) for genre in GENRES),
    (
        ["Action & Adventure"],
        "action, adventure, adventures, action adventure, action thriller, action comedy, "
        "adventure comedy, adventure drama, martial arts, kung fu, wuxia, samurai, swashbuckler, "
        "disaster, survival, superhero, superheroes, action drama, spy action, "
        "action and thriller, fantasy adventure, science fiction action",
    ),
    (
        ["Anime"],
        "animes, anime and manga, japanese animation, shonen, shojo, seinen, isekai, mecha",
    ),
    (
        ["Comedy"],
        "comedies, comic, sitcom, sitcoms, situation comedy, sketch comedy, slapstick, parody, "
        "parodies, satire, spoof, mockumentary, dark comedy, black comedy, farce, "
        "screwball comedy, romantic comedy, romantic comedies, romcom, rom com, comedy drama, "
        "dramedy, comedy horror, horror comedy, action comedy, adventure comedy, crime comedy, "
        "musical comedy, science fiction comedy, fantasy comedy, teen comedy, family comedy, "
        "buddy comedy, animated comedy, animated sitcom, comedy and drama",
    ),
    (
        ["Crime"],
        "crimes, gangster, mafia, mob, heist, police, cop, police cop, police procedural, "
        "detective, noir, film noir, neo noir, true crime, crime drama, crime thriller, "
        "crime comedy, crime and mystery, crime documentary, murder mystery, whodunit, prison",
    ),
    (
        ["Documentary"],
        "documentaries, docuseries, docudrama, documentary series, factual, nature, wildlife, "
        "animals and nature, science and nature, nature documentary, science and technology, "
        "true crime, crime documentary, music documentary, sports documentary, "
        "biographical documentary, historical documentary",
    ),
    (
        ["Drama"],
        "dramas, melodrama, soap, soaps, soap opera, soap operas, soap opera melodrama, "
        "telenovela, telenovelas, k drama, k dramas, period drama, costume drama, "
        "historical drama, war drama, legal drama, courtroom drama, medical drama, "
        "political drama, psychological drama, teen drama, family drama, social drama, "
        "biographical drama, comedy drama, dramedy, crime drama, romantic drama, "
        "romantic dramas, romance drama, action drama, sports drama, adventure drama, "
        "science fiction drama, fantasy drama, thriller drama, mystery drama, tragedy, "
        "tragicomedy, coming of age drama, comedy and drama",
    ),
    (
        ["Faith & Spirituality"],
        "faith, spirituality, spiritual, religion, religious, religion and spirituality, "
        "christian, christianity, devotional, biblical, bible, mythological, faith based",
    ),
    (
        ["Horror"],
        "horrors, slasher, slashers, supernatural, supernatural horror, zombie, zombies, "
        "vampire, gothic horror, body horror, psychological horror, horror comedy, "
        "comedy horror, science fiction horror, splatter, ghost, monster, horror thriller, "
        "horror and thriller, sci fi and horror",
    ),
    (
        ["Kids & Family"],
        "kids, kid, children, childrens, family, families, children and family, family and kids, "
        "preschool, cartoon, cartoons, family comedy, family drama, animated family, "
        "for children, childrens animation",
    ),
    (
        ["Music & Musicals"],
        "music, musical, musicals, musical comedy, concert, concerts, music videos and concerts, "
        "music video, music documentary, dance, opera, operas, jukebox musical, rock musical, "
        "bollywood musical, music and dance",
    ),
    (
        ["Reality"],
        "reality television, reality and competition, unscripted, game show, game shows, quiz, "
        "quiz show, competition, reality competition, game show competition, dating show, "
        "talent show, makeover, reality show and game show",
    ),
    (
        ["Romance"],
        "romances, romantic, romantic comedy, romantic comedies, romcom, rom com, "
        "romantic drama, romantic dramas, romance drama, love story, love, romantic thriller, "
        "paranormal romance, romantic fantasy",
    ),
    (
        ["Sci-Fi & Fantasy"],
        "sci fi, scifi, science fiction, fantasy, fantasies, science fiction and fantasy, "
        "speculative fiction, cyberpunk, space opera, space, dystopian, dystopia, steampunk, "
        "superhero, superheroes, time travel, alien, post apocalyptic, science fiction comedy, "
        "science fiction drama, science fiction horror, science fiction thriller, "
        "fantasy comedy, fantasy drama, dark fantasy, urban fantasy, romantic fantasy, "
        "sword and sorcery, fantasy adventure, science fiction action, sci fi and horror",
    ),
    (
        ["Sports"],
        "sport, sports drama, sports documentary, sporting, football, soccer, baseball, "
        "basketball, boxing, wrestling, motorsport, racing, martial arts tournament, "
        "sporting event",
    ),
    (
        ["Stand-Up & Talk"],
        "stand up, standup, stand up comedy, standup comedy, stand up comedy and talk, "
        "stand up comedy and talk shows, comedy special, talk, talk show, talk shows, "
        "talk show and variety, late night, panel, panel show, chat show, interview, variety, "
        "variety show, talk and interview",
    ),
    (
        ["Thriller & Mystery"],
        "thriller, thrillers, mystery, mysteries, suspense, spy, espionage, spy espionage, "
        "spy action, spy thriller, conspiracy, murder mystery, whodunit, detective fiction, "
        "psychological thriller, psychological, political thriller, erotic thriller, "
        "crime thriller, action thriller, action and thriller, romantic thriller, "
        "thriller drama, mystery drama, crime and mystery, legal thriller, "
        "science fiction thriller, horror thriller, horror and thriller, mystery and suspense, "
        "mystery thriller, mystery and thriller",
    ),
    ((), ""),  # what shortening leaves of `TV Shows`
    # Forms and techniques.
    (
        (),
        "short, shorts, serial, miniseries, mini, web, web series, limited, limited series, "
        "anthology, live action, animation, animated, animations, adult animation, "
        "computer animation, stop motion, silent, found footage, performance, scripted, special, "
        "specials, special interest, black and white, 3d, remake, sequel, prequel, spin off, "
        "adaptation, pilot, video",
    ),
    # Origin, language and audience.
    (
        (),
        "international, foreign, british, korean, spanish, spanish language, indian, bollywood, "
        "japanese, chinese, french, german, italian, american, turkish, latino, black stories, "
        "hispanic, asian, african, lgbtq, lgbt, lgbtqia, queer, gay and lesbian, lesbian, gay, "
        "teen, teens, teenage, young adult, young adult audience, adult, adults, mature, women, "
        "world cinema",
    ),
    # Standing and period.
    (
        (),
        "classic, classics, cult, classic and cult, independent, indie, arthouse, art house, "
        "avant garde, experimental, exploitation, b, epic, blockbuster, hollywood, award show, "
        "awards, awards show, trending, new, popular, top rated",
    ),
    # Subjects that none of the sixteen covers.
    (
        (),
        "war, war and politics, military, military and war, western, westerns, "
        "spaghetti western, history, historical, period, period piece, biography, biographical, "
        "biopic, political, politics, legal, law, courtroom, medical, news, newsreel, "
        "current affairs, travel, travelogue, food, cooking, cooking and food, food and drink, "
        "diy, home and garden, lifestyle, lifestyle and culture, health, health and wellness, "
        "fitness, wellness, education, educational, instructional, business, technology, "
        "science, nature and travel, arts, art, culture, and culture, entertainment, "
        "arts and culture, arts entertainment and culture, fashion, erotic, erotica, road, "
        "buddy, coming of age, fairy tale, christmas, holiday, halloween, school, workplace, "
        "slice of life, social issues, shopping, auto, house and garden, pets, environment",
    ),
)

# TVmaze's `supernatural` are witches and angels rather than fright. Its types of programme say
# what its genres don't (`Reality`, `Talk Show`), so they count as labels; `variety` is one of them,
# mostly without talk.
_OF_SOURCE = {"tvmaze": _table((["Sci-Fi & Fantasy"], "supernatural"), ((), "variety"))}
