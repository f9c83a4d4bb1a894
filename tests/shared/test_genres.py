"""What the labels of other sites mean in our sixteen genres."""

import pytest

from trending_shared.genres import GENRES, GenreMapping, map_genres


def test_there_are_sixteen_genres_in_alphabetical_order() -> None:
    assert len(GENRES) == 16
    assert list(GENRES) == sorted(set(GENRES))


@pytest.mark.parametrize("genre", GENRES)
def test_a_canonical_genre_means_itself(genre: str) -> None:
    assert map_genres("anywhere", [genre]) == GenreMapping({genre: 1.0}, ())


@pytest.mark.parametrize(
    "label",
    [
        "Sci-Fi & Fantasy",
        "sci-fi and fantasy",
        "  SCIENCE   FICTION ",
        "Science-Fiction",
        "TV Sci-Fi & Fantasy",
        "science fiction film",
    ],
)
def test_spelling_does_not_matter(label: str) -> None:
    assert map_genres("anywhere", [label]) == GenreMapping({"Sci-Fi & Fantasy": 1.0}, ())


@pytest.mark.parametrize("label", ["Kids' TV", "Kids’ TV", "Children & Family Movies"])
def test_apostrophes_and_the_medium_do_not_matter(label: str) -> None:
    assert map_genres("netflix", [label]).genres == ("Kids & Family",)


@pytest.mark.parametrize(
    "label", ["International Movies", "Animation", "TV Shows", "LGBTQ+", "Western", "", "  "]
)
def test_a_label_that_is_no_genre_means_nothing_and_is_not_unknown(label: str) -> None:
    assert map_genres("anywhere", [label]) == GenreMapping({}, ())


@pytest.mark.parametrize(
    ("label", "genres"),
    [
        ("Romantic Comedy", ("Comedy", "Romance")),
        ("Superhero", ("Action & Adventure", "Sci-Fi & Fantasy")),
        ("Crime drama television series", ("Crime", "Drama")),
    ],
)
def test_a_label_may_mean_two_genres(label: str, genres: tuple[str, ...]) -> None:
    assert map_genres("anywhere", [label]).genres == genres


@pytest.mark.parametrize(
    ("label", "genre"),
    [("Game Show", "Reality"), ("Talk Show", "Stand-Up & Talk"), ("Film Noir", "Crime")],
)
def test_a_label_is_read_whole_before_it_is_read_without_its_medium(label: str, genre: str) -> None:
    assert map_genres("anywhere", [label]).genres == (genre,)


def test_a_source_may_mean_something_else_by_a_label() -> None:
    assert map_genres("tvmaze", ["Supernatural"]).genres == ("Sci-Fi & Fantasy",)
    assert map_genres("wikipedia", ["Supernatural"]).genres == ("Horror",)
    assert map_genres("tvmaze", ["Variety"]) == GenreMapping({}, ())
    assert map_genres("disney", ["Variety"]).genres == ("Stand-Up & Talk",)


def test_tvmazes_types_of_programme_count_as_labels_and_none_of_its_labels_is_unknown() -> None:
    types = (
        "Animation, Award Show, Documentary, Game Show, News, Panel Show, Reality, Scripted, "
        "Sports, Talk Show, Variety"
    )
    genres = (
        "Action, Adult, Adventure, Anime, Children, Comedy, Crime, DIY, Drama, Espionage, Family, "
        "Fantasy, Food, History, Horror, Legal, Medical, Music, Mystery, Nature, Romance, "
        "Science-Fiction, Sports, Supernatural, Thriller, Travel, War, Western"
    )
    mapping = map_genres("tvmaze", types.split(", "))
    assert mapping.genres == ("Documentary", "Reality", "Sports", "Stand-Up & Talk")
    assert mapping.unknown == ()
    assert map_genres("tvmaze", genres.split(", ")).unknown == ()


def test_genres_come_once_and_in_order_and_unknown_labels_as_they_were_given() -> None:
    mapping = map_genres("anywhere", ["Zorb Epic", "Thrillers", " Zorb  epic", "Drama", "Suspense"])
    assert mapping.genres == ("Drama", "Thriller & Mystery")
    assert mapping.unknown == ("Zorb Epic",)


def test_a_part_of_a_label_is_no_match() -> None:
    label = "Dramatic readings of crime statistics"
    assert map_genres("anywhere", [label]) == GenreMapping({}, (label,))


@pytest.mark.parametrize(
    ("source", "label", "confidence"),
    [
        ("netflix", "Comedies", {"Comedy": 1.0}),
        ("netflix", "TV Thrillers", {"Thriller & Mystery": 1.0}),
        ("netflix", "Action & Adventure", {"Action & Adventure": 1.0}),
        ("imdb", "Action-Adventure", {"Action & Adventure": 1.0}),
        ("imdb", "Sci-Fi", {"Sci-Fi & Fantasy": 1.0}),
        ("wikipedia", "science fiction film", {"Sci-Fi & Fantasy": 1.0}),
        ("imdb", "Sport", {"Sports": 1.0}),
        ("netflix", "Kids' TV", {"Kids & Family": 1.0}),
        ("wikipedia", "Sitcom", {"Comedy": 0.9}),
        ("netflix", "Docuseries", {"Documentary": 0.9}),
        ("wikipedia", "Suspense", {"Thriller & Mystery": 0.9}),
        ("imdb", "Romantic Comedy", {"Comedy": 0.8, "Romance": 0.8}),
        ("disney", "Superhero", {"Action & Adventure": 0.8, "Sci-Fi & Fantasy": 0.8}),
        ("tvmaze", "Supernatural", {"Sci-Fi & Fantasy": 0.7}),
        ("wikipedia", "Supernatural", {"Horror": 0.9}),
    ],
)
def test_the_plainer_a_label_the_surer_its_meaning(
    source: str, label: str, confidence: dict[str, float]
) -> None:
    assert map_genres(source, [label]).confidence == confidence


def test_the_clearest_of_several_labels_decides() -> None:
    mapping = map_genres("netflix", ["Romantic Comedy", "Sitcom", "Romance"])
    assert mapping.confidence == {"Comedy": 0.9, "Romance": 1.0}
    assert list(mapping.confidence) == sorted(mapping.confidence)
