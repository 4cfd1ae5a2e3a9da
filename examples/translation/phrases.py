"""The data: names, dates and quantities in English and German, from the CLDR by way of Babel.

The CLDR knows how each language calls countries, languages and currencies, and how it writes dates,
amounts and lists. Phrases are made of these by chance, the same one in both languages. Some names
are set aside and are in no phrase: what the model makes of them it cannot have learned by heart.
"""

import datetime
from collections.abc import Callable

import numpy as np

Pair = tuple[str, str]  # English, German
SET_ASIDE = 20  # of how many names one is set aside
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)


def names_of(kind: str) -> list[Pair]:
    """Return all names of a kind in both languages.

    Args:
      kind: ``"languages"``, ``"territories"`` or ``"currencies"``.
    """
    from babel import Locale

    english, german = (getattr(Locale(language), kind) for language in ("en", "de"))
    return sorted({(english[code], german[code]) for code in english if code in german})


def set_aside(names: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Divide names into those that phrases are made of, and those that are set aside."""
    used = [name for number, name in enumerate(names) if number % SET_ASIDE]
    return used, names[::SET_ASIDE]


class Maker:
    """Makes phrases by chance.

    Args:
      seed: of the chance.

    Attributes:
      unseen: the names that are set aside.
    """

    def __init__(self, seed: int) -> None:
        from babel import Locale

        self.rng = np.random.default_rng([seed, 0])
        self.languages, unseen_languages = set_aside(names_of("languages"))
        self.territories, unseen_territories = set_aside(names_of("territories"))
        self.unseen = unseen_languages + unseen_territories
        self.currencies = sorted(set(Locale("en").currencies) & set(Locale("de").currencies))
        self.units = sorted(
            unit
            for unit in Locale("en").unit_display_names
            if unit in Locale("de").unit_display_names
        )

    def pairs(self, count: int) -> list[Pair]:
        """Return so many different phrases."""
        kinds = [self.name, self.listed, self.spoken_in, self.date, self.quantity, self.amount]
        found: dict[Pair, None] = {}
        while len(found) < count:
            found[kinds[self.rng.integers(len(kinds))]()] = None
        return list(found)

    def name(self) -> Pair:
        """A language, a country or region."""
        return self._one_of([*self.languages, *self.territories])

    def listed(self) -> Pair:
        """Two or three countries, or languages: "Chad, Fiji, and Cuba"."""
        from babel.lists import format_list

        names = [self.languages, self.territories][self.rng.integers(2)]
        some = [self._one_of(names) for _ in range(self.rng.integers(2, 4))]
        return _in_both(
            lambda language, place: format_list([x[place] for x in some], locale=language)
        )

    def spoken_in(self) -> Pair:
        """A language as it is spoken in a country: "German (Austria)"."""
        language, country = self._one_of(self.languages), self._one_of(self.territories)
        return _in_both(lambda _, place: f"{language[place]} ({country[place]})")

    def date(self) -> Pair:
        """A day, in one of four ways: "Sunday, March 7, 2021"."""
        from babel.dates import format_date, format_skeleton

        day = FIRST_DAY + datetime.timedelta(int(self.rng.integers((LAST_DAY - FIRST_DAY).days)))
        form = ["full", "long", "medium", "yMMMM"][self.rng.integers(4)]
        if form == "yMMMM":
            return _in_both(lambda language, _: format_skeleton(form, day, locale=language))
        return _in_both(lambda language, _: format_date(day, form, locale=language))

    def quantity(self) -> Pair:
        """A number of units: "12.5 kilometers"."""
        from babel.units import format_unit

        number, unit = self._number(), self._one_of(self.units)
        return _in_both(lambda language, _: format_unit(number, unit, locale=language))

    def amount(self) -> Pair:
        """Money: "1,234.50 US dollars"."""
        from babel.numbers import format_currency

        number, currency = self._number(), self._one_of(self.currencies)
        return _in_both(
            lambda language, _: format_currency(
                number, currency, locale=language, format_type="name"
            )
        )

    def _one_of(self, things):
        return things[self.rng.integers(len(things))]

    def _number(self) -> float:
        large = 10 ** self.rng.integers(1, 6)
        number = int(self.rng.integers(1, large))
        return number if self.rng.integers(2) else number + float(self.rng.integers(1, 10)) / 10


def _in_both(write: Callable[[str, int], str]) -> Pair:
    """Write a phrase in both languages; spaces that do not break a line become plain ones."""
    english, german = (write(language, place) for place, language in enumerate(("en", "de")))
    return " ".join(english.split()), " ".join(german.split())
