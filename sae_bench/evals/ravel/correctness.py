"""Whether a completion names the right value of an attribute: the rules of RAVEL.

The answer is what stands before the first quotation mark. As a rule it must begin with the value (or the value with it,
where it was cut short); some values have several names, coordinates and time zones are compared as numbers.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

WINTER = datetime(2024, 1, 15)
"""Offsets of time zones are those of this day, so that a completion is not right in summer and wrong in winter."""
DEGREES = 2
_COORDINATE_WORDS = ("coord", "latitude", "longitude")
_ENGLISH_STATES = ("United States", "United Kingdom")
_ALIASES = {"South Korea": "korea", "Mandarin": "chinese"}
_GOES_ON = re.compile(r"[\w-]")
_HOURS = re.compile(r"[+\-]?(\d\d?):\d+")
_SIGNED = re.compile(r"[+\-](\d+)")


def is_correct(text: str, value: str, completion: str) -> bool:
    """Whether `completion` of the prompt `text` names `value`."""
    answer = completion.split('"')[0].strip(' "').replace("\\/", "/").lower()
    if not value or not answer:
        return False
    wanted = value.lower()
    if any(word in text for word in _COORDINATE_WORDS):
        return _is_near(wanted, answer)
    if any(state in value for state in _ENGLISH_STATES):
        said = completion.strip().replace("the ", "")
        return said.startswith((value.strip().replace("the ", ""), "England"))
    if "South Korea" in value:
        return answer.startswith(("korea", "south korea"))
    if "North America" in value:
        return wanted in answer or answer == "na" or answer.startswith("america")
    if "Mandarin" in value:
        return answer in wanted or answer == "chinese"
    if "language" in text and "," in wanted:
        return any(language in answer for language in wanted.split(","))
    if "UTC" in text and "/" in wanted:
        return _is_offset(value, answer)
    return answer.startswith(wanted) if len(wanted) < len(answer) else wanted.startswith(answer)


def is_strictly_correct(text: str, value: str, completion: str) -> bool:
    """Whether `completion` names `value` by the rules of RAVEL, and is no other value and no mere beginning of it.

    The rules take England for the United States, Nigeria for Niger and one letter for a name. Here the answer must
    begin with the whole word, or with half of the value or more where the last token cut it short.
    """
    if not is_correct(text, value, completion):
        return False
    if any(word in text for word in _COORDINATE_WORDS) or ("UTC" in text and "/" in value):
        return True
    answer = completion.split('"')[0].strip(' "').lower().removeprefix("the ")
    is_cut = '"' not in completion
    names = [name.strip() for name in value.lower().split(",")] if "language" in text else [value.lower()]
    names += [alias for part, alias in _ALIASES.items() if part in value]
    return any(_begins(answer, name.removeprefix("the "), is_cut=is_cut) for name in names)


def _begins(answer: str, name: str, *, is_cut: bool) -> bool:
    """Whether an answer begins with a name as a word of its own, or is the greater part of it."""
    if answer.startswith(name):
        return _GOES_ON.match(answer[len(name) :]) is None
    return is_cut and name.startswith(answer) and 2 * len(answer) >= len(name)


def _is_near(wanted: str, answer: str) -> bool:
    """Coordinates without sign and decimals, at most two degrees apart."""
    digits = re.search(r"\d+", answer)
    try:
        return digits is not None and abs(float(wanted.strip("-\u2212")) - float(digits[0])) <= DEGREES
    except ValueError:
        return False


def _is_offset(zone: str, answer: str) -> bool:
    """Whether an answer such as `+5:30` or `-05` is the offset of a time zone; half hours are not looked at."""
    offset = utc_offset(zone)
    if offset is None:
        return False
    hours = offset.split(":")[0]
    without_zero = answer.replace("0", "", 1) if re.search(r"[+\-]0\d", answer) else answer
    if answer.startswith(hours) or without_zero.startswith(hours):
        return True
    said, right = _HOURS.search(answer), _HOURS.search(offset)
    if _has_summer_time(zone, offset) and said and right and abs(int(said[1]) - int(right[1])) <= 1:
        return True
    signed = _SIGNED.search(answer)
    return signed is not None and int(signed[1]) > 11 and str(24 - int(signed[1])) in offset


def utc_offset(zone: str) -> str | None:
    """The offset of a time zone in winter, such as `+5:30`; None if there is no such zone."""
    try:
        seconds = int((ZoneInfo(zone).utcoffset(WINTER) or timedelta()).total_seconds())
    except (KeyError, ValueError, OSError):
        return None
    hours, minutes = divmod(abs(seconds) // 60, 60)
    shown = f"{hours}:{minutes:02d}"
    return f"{'-' if seconds < 0 else '+'}{shown.removeprefix('0') if minutes >= 30 else shown}"


def _has_summer_time(zone: str, offset: str) -> bool:
    american = zone.startswith("America") and re.search(r"-[5-8]", offset)
    european = zone.startswith(("Europe", "Africa")) and re.search(r"\+[0-3]", offset)
    return bool(american or european)
