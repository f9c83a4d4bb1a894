"""Texts that models have to bear."""

import random
import unicodedata

from trending_shared.features import compose_text


def hostile_texts(count: int) -> list[str]:
    """Texts as nobody writes them, composed as all texts are: each part may be anything."""
    chance = random.Random(11)
    alphabets = [
        "abcdefghijklmnopqrstuvwxyz",
        "ABCÀÉÎÕÜßæøłĐİıŞ",
        "'’‘`´\"-–—_/\\|&%$#@!?.,;:()[]{}<>*~^=+",
        " \t\n\r\u00a0\u2009\u200b\u202e\ufeff\u0000\u0007",
        "千尋の神隠し映画電影한국영화кинематографالسينما",
        "🎬🍿👨‍👩‍👧‍👦🏳️‍🌈\U0001f1ef\U0001f1f5",
        "\u0301\u0308\u0327\u20dd",
        "0123456789٣४",
    ]
    words = ["ghost", "haunted", "silly", "heist", "can't", "x's", "don't", "kind_film", "café"]
    texts = []
    for number in range(count):
        parts = []
        for _ in range(chance.choice([0, 1, 3, 10, 40])):
            if chance.random() < 0.4:
                parts.append(chance.choice(words))
            else:
                letters = "".join(chance.sample(alphabets, k=chance.randrange(1, 3)))
                parts.append("".join(chance.choices(letters, k=chance.randrange(1, 9))))
        plot = chance.choice([" ", "", "'"]).join(parts)
        if number % 1000 == 0:
            plot = " ".join(chance.choices(words, k=10_000))
        if number % 7 == 0:
            plot = unicodedata.normalize("NFD", plot)
        kind = chance.choice(["film", "show", None])
        texts.append(compose_text(name=chance.choice([*words, ""]), plot=plot, kind=kind))
    return texts
