"""The rules by which a completion names a value."""

from __future__ import annotations

import pytest

from sae_bench.evals.ravel.correctness import is_correct, utc_offset


@pytest.mark.parametrize(
    ("text", "value", "completion", "right"),
    [
        ("Oslo is in", "Norway", " Norway, a country", True),
        ("Oslo is in", "Norway", " the country of Norway", False),
        ("Oslo is in", "Norway", " NORWAY", True),
        ("Oslo is in", "Norway", " Nor", True),  # cut short
        ("Oslo is in", "Norway", "", False),
        ("Oslo is in", "Norway", '", "Norway', False),  # nothing before the quotation mark
        ("Oslo is in", "", " Norway", False),
        ('"country": "', "Norway", 'Norway", "lang', True),
        ("Boston is in", "United States", " the United States of", True),
        ("Boston is in", "United States", " united states", False),
        ("London is in", "United Kingdom", " England, where", True),
        ("Seoul is in", "South Korea", " Korea.", True),
        ("Seoul is in", "South Korea", " north korea", False),
        ("Boston lies in", "North America", " America", True),
        ("Boston lies in", "North America", " the north of North America", True),
        ("Boston lies in", "North America", " NA", True),
        ("Boston lies in", "North America", " South America", False),
        ("speak", "Mandarin Chinese", " Chinese", True),
        ("speak", "Mandarin Chinese", " Cantonese", False),
        ("the language is", "French,German", " mostly german", True),
        ("they speak", "French,German", " german", False),
        ("latitude of Oslo:", "59", " 60.2", True),
        ("latitude of Oslo:", "59", " 62", False),
        ("longitude of Lima:", "\u221277", "78 W", True),
        ("longitude of Lima:", "-77", " west", False),
        ("coordinates", "unknown", " 7", False),
        ('"timezone": "', "America/Lima", "America\\/Lima", True),
        ("UTC", "America/Lima", "-5", True),
        ("UTC", "America/Lima", "-05:00", True),
        ("UTC", "America/Lima", "+5", False),
        ("UTC", "Asia/Kolkata", "+5:30", True),
        ("UTC", "America/New_York", "-4:00", True),  # summer
        ("UTC", "Asia/Tokyo", "+8:00", False),
        ("UTC", "America/Lima", "+19", True),
        ("UTC", "Nowhere/Land", "+1", False),
    ],
)
def test_rules(text: str, value: str, completion: str, right: bool):
    assert is_correct(text, value, completion) is right


def test_offsets_are_those_of_winter():
    zones = {"America/New_York": "-5:00", "Asia/Kolkata": "+5:30", "Europe/London": "+0:00", "Nowhere": None}
    assert {zone: utc_offset(zone) for zone in zones} == zones
