"""The rules by which a completion names a value."""

from __future__ import annotations

import pytest

from sae_bench.evals.ravel.correctness import is_correct, is_strictly_correct, utc_offset


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


@pytest.mark.parametrize(
    ("text", "value", "completion", "loosely", "strictly"),
    [
        ("Oslo is in", "Norway", " Norway, a country", True, True),
        ("Oslo is in", "Norway", " Norw", True, True),  # the last token was the last that was asked for
        ('"country": "', "Norway", 'Norw", "lang', True, False),  # it was not
        ("Oslo is in", "Norway", " N", True, False),
        ("Niamey is in", "Niger", " Nigeria, where", True, False),
        ("Conakry is in", "Guinea", " Guinea-Bissau", True, False),
        ("Boston is in", "United States", " England", True, False),
        ("Boston is in", "United States", " the United States of", True, True),
        ("London is in", "United Kingdom", " England, where", True, False),
        ("Seoul is in", "South Korea", " Korea.", True, True),
        ("Boston lies in", "North America", " NA", True, False),
        ("Boston lies in", "North America", " America", True, False),
        ("Boston lies in", "North America", " North America", True, True),
        ("speak", "Mandarin Chinese", " Chinese", True, True),
        ("speak", "Mandarin Chinese", " m", True, False),
        ("the language is", "French,German", " German,", True, True),
        ("the language is", "French,German", " mostly german", True, False),
        ("latitude of Oslo:", "59", " 60.2", True, True),
        ("UTC", "America/Lima", "-5", True, True),
        ("Oslo is in", "Norway", " Sweden", False, False),
    ],
)
def test_strict_rules_take_no_other_value_and_no_mere_beginning(text, value, completion, loosely, strictly):
    assert is_correct(text, value, completion) is loosely
    assert is_strictly_correct(text, value, completion) is strictly
