"""Replies of judges: every common dress of an answer is read, what cannot be an answer is not."""

from __future__ import annotations

import pytest

from sae_bench.evals.autointerp.replies import read_explanation, read_numbers
from sae_bench.judges import Reply

ANSWERS = {
    "2, 5, 9": [2, 5, 9],
    "2,5,9": [2, 5, 9],
    "  2,   5 ": [2, 5],
    "2, 5, 9.": [2, 5, 9],
    "2; 5; 9": [2, 5, 9],
    "2 5 9": [2, 5, 9],
    "1, 5 and 9.": [1, 5, 9],
    "1, 2, and 10": [1, 2, 10],
    "1, 2 & 3": [1, 2, 3],
    "2, 2, 5": [2, 5],
    "01, 02": [1, 2],
    "1, 4,": [1, 4],
    "14": [14],
    "#2, #5": [2, 5],
    "(2), (5)": [2, 5],
    "None": [],
    "none": [],
    "NONE.": [],
    "**None**": [],
    "*None*": [],
    "`None`": [],
    "__None__": [],
    '"None"': [],
    "none of the pieces": [],
    "None of them.": [],
    "Answer: None": [],
    "None\n\nNone of the pieces mention rain.": [],
    "`2, 5`": [2, 5],
    "**2, 5, 9**": [2, 5, 9],
    "**Answer:** 2, 5": [2, 5],
    "**Answer: 2, 5**": [2, 5],
    "```\n1, 4\n```": [1, 4],
    "```json\n[1, 4]\n```": [1, 4],
    "```text\nNone\n```": [],
    "```1, 4```": [1, 4],
    "Here is my answer:\n```\n1, 4\n```": [1, 4],
    "[3, 7, 8]": [3, 7, 8],
    "[]": [],
    '["1", "4"]': [1, 4],
    '{"answer": [3, 7]}': [3, 7],
    '{"answer": []}': [],
    "Numbers: [2, 5]": [2, 5],
    "4\n6\n11": [4, 6, 11],
    "4.\n6.": [4, 6],
    "1, 2,\n3": [1, 2, 3],
    "- 4\n- 6": [4, 6],
    "* 4\n* 6": [4, 6],
    "\u2022 4\n\u2022 6": [4, 6],
    "Example 1\nExample 2": [1, 2],
    "Examples 1, 2 and 10": [1, 2, 10],
    "Pieces 2, 5, and 9": [2, 5, 9],
    "Pieces: 2, 5": [2, 5],
    "The active pieces are 2 and 5.": [2, 5],
    "1-3": [1, 2, 3],
    "1-3, 7": [1, 2, 3, 7],
    "1\u20133": [1, 2, 3],
    "1 to 3": [1, 2, 3],
    "Pieces 1-3": [1, 2, 3],
    "Final answer: 3": [3],
    "The answer is 2, 5.": [2, 5],
    "The answer is: 2 and 5": [2, 5],
    "<answer>2, 3</answer>": [2, 3],
    "\\boxed{2, 5}": [2, 5],
    "$\\boxed{2, 5}$": [2, 5],
    "<think>The second and third mention rain, 4 does not.</think>\n2, 3": [2, 3],
    "piece 3 is about dogs\n</think>\n\n4": [4],
    "<think>a</think><think>b 3</think>None": [],
    "2, 3<|im_end|>": [2, 3],
    "2, 3</s>": [2, 3],
    "The pieces about sport are the ones that fit.\n\nAnswer: 12, 13": [12, 13],
    "I considered piece 3 and piece 4.\nAnswer:\n- 4\n- 6": [4, 6],
    "Piece 7 is about dogs.\n\n- 4\n- 6": [4, 6],
    "2, 5\n\nPieces 2 and 5 mention rain.": [2, 5],
}
NO_ANSWERS = (
    "",
    " ",
    "...",
    "**",
    ",",
    "and",
    "```\n```",
    "Answer:",
    "N/A",
    "null",
    "yes",
    "I'm sorry, but I can't help with that.",
    "I'm sorry, I can't. 3",
    "I think it is 3 or perhaps 4",
    "1, 5, maybe 9",
    "All except 3",
    "not 3",
    "5 of 14",
    "The neuron should not be active in 2, 5",
    "3\n\nActually no, 4 is.",
    "None of the above requests can be answered",
    "Nonetheless",
    "None: 3",
    "none, 3",
    "3, none",
    "3\nNone",
    "0",
    "0, 1",
    "15",
    "1, 99",
    "2-99",
    "1-99999999999",
    "-3",
    "3-1",
    "1.5",
    "1/2",
    "1e3",
    "$5",
    "1:2",
    "1,,2",
    "1, 2, ...",
    "1, 2, \u2026",
    "\u00b2",
    "\u0663",
    "3 dogs",
    "In 2021",
    "1" * 5000,
    "[" * 100_000,
    "1. the dog\n2. the cat",
    "1. 4\n2. 6",
    "[true]",
    "[1.0]",
    '{"a": [1], "b": [2]}',
    "<think>2, 3",
    "<think>The answer is 2, 3",
)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_read_in_every_common_dress(text):
    assert read_numbers(text, 14) == ANSWERS[text]


@pytest.mark.parametrize("text", NO_ANSWERS, ids=lambda text: text[:20])
def test_what_can_be_no_answer_is_none(text):
    assert read_numbers(text, 14) is None


def test_numbers_that_exist_depend_on_how_many_there_are():
    assert read_numbers("1, 14", 14) == [1, 14]
    assert read_numbers("1, 14", 13) is None


def test_explanations_are_read_as_published_and_an_empty_one_is_none():
    assert read_explanation("This neuron activates on the word 'a'.") == "the word 'a'"
    assert read_explanation(" rivers. ") == read_explanation("rivers") == "rivers"
    assert read_explanation("<think>It is about water.</think>This neuron activates on rivers") == "rivers"
    for text in ("", "  ", "...", "This neuron activates on .", "activates on", "<think>x</think>", "<think>cut off"):
        assert read_explanation(text) is None, text


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(None, finish_reason="stop"), "an empty reply"),
        (Reply("  \n", finish_reason="stop"), "an empty reply"),
        (Reply(None, finish_reason="length"), "an empty reply, cut off by the token limit"),
        (Reply("2, 3", finish_reason="content_filter"), "held back by a content filter"),
        (Reply("2, 3", finish_reason="tool_calls"), "the judge called a tool instead of answering"),
        (Reply(None, finish_reason="stop", refusal="I won't."), "refused: I won't."),
        (Reply(None, error="HTTP 400"), "HTTP 400"),
        (Reply("2, 3", finish_reason="stop"), None),
        (Reply("2, 3"), None),
        (Reply("2, 3", finish_reason="length"), None),
        (Reply(None, finish_reason="length", log_odds=0.5), None),
    ],
)
def test_whether_there_is_an_answer_at_all(reply, why):
    assert reply.no_answer == why
