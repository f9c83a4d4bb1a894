"""Languages and countries by the names that sites give them."""

import pytest

from trending_cleaner.places import country_name, language_tag, split_countries


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("en", "en"),
        ("EN_us", "en-US"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("en-UK", "en-GB"),
        ("ger", "de"),
        ("deu", "de"),
        ("iw", "he"),
        ("sh", "sr-Latn"),
        ("de-1996", "de"),
        ("English", "en"),
        ("ENGLISH", "en"),
        ("Brazilian Portuguese", "pt-BR"),
        ("Simplified Chinese", "zh-Hans"),
        ("Mandarin", "zh"),
        ("Cantonese", "yue"),
        ("Farsi", "fa"),
        ("Deutsch", "de"),
        ("français", "fr"),
        ("日本語", "ja"),
        ("한국어", "ko"),
        ("العربية", "ar"),
        ("हिन्दी", "hi"),
        ("allemand", "de"),
        ("English, French", "en"),
        ("Elvish / Norwegian", "no"),
    ],
)
def test_a_language_has_one_tag(text: str, tag: str) -> None:
    assert language_tag(text) == tag
    assert language_tag(tag) == tag


@pytest.mark.parametrize(
    "text", ["", "und", "mul", "zxx", "xx", "qqq", "x-klingon", "Silent", "e", "1"]
)
def test_what_names_no_language_has_no_tag(text: str) -> None:
    assert language_tag(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("United States", "United States"),
        ("us", "United States"),
        ("USA", "United States"),
        ("United States of America", "United States"),
        ("Vereinigte Staaten", "United States"),
        ("États-Unis", "United States"),
        ("日本", "Japan"),
        ("UK", "United Kingdom"),
        ("GBR", "United Kingdom"),
        ("Czechia", "Czech Republic"),
        ("Türkiye", "Turkey"),
        ("The Netherlands", "Netherlands"),
        ("Hong Kong SAR China", "Hong Kong"),
        ("Palestinian Territories", "Palestine"),
        ("Côte d’Ivoire", "Ivory Coast"),
        ("Cote d'Ivoire", "Ivory Coast"),
        ("Bosnia & Herzegovina", "Bosnia and Herzegovina"),
        ("SUHH", "SUHH"),
        ("USSR", "Soviet Union"),
        ("Soviet Union", "Soviet Union"),
        ("West Germany", "West Germany"),
        ("DDR", "East Germany"),
        ("Yugoslavia", "Yugoslavia"),
        ("Wakanda", "Wakanda"),
        ("", ""),
    ],
)
def test_a_country_has_one_english_name(text: str, name: str) -> None:
    assert country_name(text) == name
    assert country_name(name) == name


def test_isos_names_are_split_where_a_list_is_and_nowhere_else() -> None:
    parts = split_countries(
        "Iran, Islamic Republic of, Congo, The Democratic Republic of the, ,USA"
    )
    assert [country_name(part) for part in parts] == [
        *("Iran", "Democratic Republic of the Congo", "", "United States")
    ]
    assert split_countries("Republic of, x") == ["Republic of", "x"]
