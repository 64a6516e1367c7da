"""What a judge's reply says: an explanation, a list of example numbers, or nothing that can be read."""

from __future__ import annotations

import json
import re

_REASONING = re.compile(
    r"<(think|thinking|thought|reasoning|reflection|scratchpad)>.*?</\1>", re.DOTALL | re.IGNORECASE
)
_REASONING_END = re.compile(
    r"^.*</(?:think|thinking|thought|reasoning|reflection|scratchpad)>", re.DOTALL | re.IGNORECASE
)
_REASONING_START = re.compile(r"<(?:think|thinking|thought|reasoning|reflection|scratchpad)>", re.IGNORECASE)
_CONTROL = re.compile(r"<\|[^|<>]{1,40}\|>|</?s>|<eos>|<bos>|<(?:start|end)_of_turn>")
_TAGS = re.compile(r"</?(?:answer|final|final_answer|output|result|response)>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[\w-]*[ \t]*$|```(?:[a-z]+\n)?", re.MULTILINE)
_BOXED = re.compile(r"\$*\\boxed\{(?:\\text\{)?([^{}]*)\}?\}\$*")

_NOUN = r"(?:examples?|pieces?|numbers?|texts?|samples?|items?|snippets?|sentences?|excerpts?|passages?)"
_LABEL = re.compile(
    rf"^(?:(?:my|the|so|thus|therefore|hence|,| )*(?:final )?(?:answers?|predictions?|result|output|list)"
    rf"(?: (?:is|are|would be))?|(?:the )?(?:active|activating|matching|relevant|correct) {_NOUN}(?: are| is)?"
    rf"|(?:the )?{_NOUN}(?: are| is)?) ?[:=]? +"
    rf"|^(?:(?:my |the )?(?:final )?answers?|predictions?|result|output|{_NOUN}) ?[:=] ?",
    re.IGNORECASE,
)
_ITEM = rf"(?:{_NOUN} )?#?(?P<first>[0-9]{{1,6}})(?: ?(?:-|\u2013|\u2014|to|through) ?#?(?P<last>[0-9]{{1,6}}))?"
_ITEM_ALONE = re.compile(_ITEM, re.IGNORECASE)
_SEPARATOR = re.compile(r"(?: ?,? ?\band\b| ?[,;&]) ?|\s+", re.IGNORECASE)
_NONE = re.compile(
    rf"none(?: of (?:the|these|those|them)(?: (?:above|given|listed|\d+))?(?: {_NOUN})?"
    r"(?: (?:is|are|would be|should be)? ?(?:active|activat\w+|match\w*|fit\w*|apply|applies))?)?",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^(?:[-*+\u2022\u00b7\u2013] +|[\u2022\u00b7] *)")
_WRAPPED = (("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))


def read_explanation(text: str) -> str | None:
    """Read the explanation from a reply: the text after "activates on", or all of it; None if it is empty."""
    explanation = _spoken(text)
    if explanation is None:
        return None
    explanation = explanation.split("activates on")[-1].strip().rstrip(".").strip()
    return explanation if re.search(r"\w", explanation) else None


def read_numbers(text: str, n_examples: int) -> list[int] | None:
    """The example numbers that a reply names, each once, in its order; an empty list for "None".

    The list may be dressed (fences, bullets, bold, JSON, a label), follow on reasoning, or be followed by remarks that
    name no other example.

    Args:
        text: the reply.
        n_examples: examples are numbered from 1 to this.
    Returns:
        None if the reply is no list, or names an example that does not exist.
    """
    spoken = _spoken(text)
    if spoken is None:
        return None
    spoken = _BOXED.sub(r"\1", _TAGS.sub("", spoken))
    from_json = _json_list(_FENCE.sub("", spoken))
    numbers = _list_of(from_json) if from_json is not None else _written_list(_FENCE.sub("\n", spoken))
    if numbers is None or any(not 1 <= number <= n_examples for number in numbers):
        return None
    return list(dict.fromkeys(numbers))


def _spoken(text: str) -> str | None:
    """A reply without its reasoning and control tokens; None if it ends within the reasoning."""
    spoken = _CONTROL.sub("", text)
    spoken = _REASONING_END.sub("", _REASONING.sub("", spoken))
    return None if _REASONING_START.search(spoken) else spoken.strip()


def _json_list(text: str) -> str | None:
    """The text of the one list in a reply that is JSON, commas between its entries."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, dict) and len(content) == 1:
        (content,) = content.values()
    if not isinstance(content, list) or not all(type(entry) in (int, str) for entry in content):
        return None
    return ", ".join(map(str, content)) if content else "none"


def _written_list(text: str) -> list[int] | None:
    """Numbers of a reply in words: all of it is the list, or its last lines are, or its first line is."""
    lines = [line for line in map(_undressed, text.splitlines()) if line]
    read = [_list_of(line) for line in lines]
    if not lines:
        return None
    start = len(lines)
    while start > 0 and read[start - 1] is not None:
        start -= 1
        if _LABEL.match(lines[start]) and not _ITEM_ALONE.fullmatch(lines[start]):
            break
    block = lines[start:]
    if block:
        return _joined([_list_of(line) for line in block])
    first = read[0] if read else None
    if first is not None and all(numbers is None for numbers in read[1:]):
        named = {int(number) for line in lines[1:] for number in re.findall(r"[0-9]{1,6}", line)}
        return first if named <= set(first) else None
    return None


def _joined(parts: list[list[int] | None]) -> list[int] | None:
    """The numbers of several lines; None where "None" stands beside numbers."""
    lists = [part for part in parts if part is not None]
    if len(lists) > 1 and any(not part for part in lists) and any(lists):
        return None
    return [number for part in lists for number in part]


def _undressed(line: str) -> str:
    """Strip bullet, emphasis, quotes, brackets and full stop from a line."""
    line = _BULLET.sub("", " ".join(line.split()))
    line = re.sub(r"\*+|`+|(?<![\w])_+|_+(?![\w])", "", line).strip()
    before = None
    while before != line:
        before = line
        line = line.removesuffix(".").strip() if not line.endswith("..") else line
        for opening, closing in _WRAPPED:
            if len(line) > 1 and line.startswith(opening) and line.endswith(closing):
                inner = line[1:-1]
                line = inner.strip() if opening not in inner and closing not in inner else line
    return line


def _list_of(line: str) -> list[int] | None:
    """The numbers of one line that is nothing but a list, perhaps with a label before it."""
    line = _undressed(line)
    if _NONE.fullmatch(line):
        return []
    numbers = _items(line)
    if numbers is None and (label := _LABEL.match(line)) is not None:
        rest = _undressed(line[label.end() :])
        return [] if _NONE.fullmatch(rest) else _items(rest)
    return numbers


def _items(line: str) -> list[int] | None:
    numbers: list[int] = []
    start = 0
    while start < len(line):
        bare = line[start:].lstrip("([#")
        start = len(line) - len(bare)
        item = _ITEM_ALONE.match(line, start)
        if item is None:
            return None
        first, last = int(item["first"]), int(item["last"] or item["first"])
        if last < first or last - first > 10_000:
            return None
        numbers += range(first, last + 1)
        start = item.end()
        while start < len(line) and line[start] in ")]":
            start += 1
        if start == len(line):
            break
        separator = _SEPARATOR.match(line, start)
        if separator is None or (separator.end() == len(line) and separator[0].strip() not in (",", ";")):
            return None
        start = separator.end()
    return numbers or None
