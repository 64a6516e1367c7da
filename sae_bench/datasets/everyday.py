"""Questions of everyday language that have nothing to do with places: opposites, kinds of things, what comes next.

They stand for the knowledge that unlearning a topic must not touch. All of them are this package's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, pairwise

import torch

from sae_bench.datasets.facts import Fact
from sae_bench.seeding import named_generator

SENTENCES_PER_TEXT = 8

KINDS: dict[str, str] = {
    "an animal": "dog cat horse tiger elephant rabbit monkey wolf goat lion bear deer",
    "a fruit": "apple banana cherry grape peach pear lemon mango strawberry plum",
    "a vegetable": "carrot potato onion cabbage spinach broccoli lettuce garlic turnip celery",
    "a colour": "red green blue yellow purple brown pink violet grey turquoise",
    "a tool": "hammer screwdriver saw wrench drill axe shovel chisel rake pliers",
    "a musical instrument": "piano violin guitar flute trumpet drum cello harp clarinet trombone",
    "a piece of clothing": "shirt jacket sock skirt coat glove hat scarf sweater dress",
    "a vehicle": "car bus truck bicycle motorcycle van tractor train taxi tram",
    "a job": "doctor teacher lawyer carpenter baker nurse farmer plumber pilot engineer",
    "a sport": "tennis football hockey basketball volleyball rugby cricket golf badminton boxing",
    "a piece of furniture": "chair table sofa bed wardrobe desk bookcase stool cupboard bench",
    "a metal": "iron copper gold silver aluminium zinc lead tin nickel titanium",
}
"""Kind -> things of that kind."""

OPPOSITES = (
    "hot cold, big small, up down, left right, day night, black white, fast slow, young old, happy sad, rich poor, "
    "hard soft, wet dry, open closed, full empty, strong weak, light dark, high low, near far, early late, "
    "clean dirty, loud quiet, sweet bitter, thick thin, long short, wide narrow, deep shallow, "
    "always never, inside outside, above below, before after, first last, love hate, war peace, true false, "
    "begin end, buy sell, push pull, laugh cry, win lose, remember forget, arrive leave, give take, "
    "success failure, friend enemy, question answer, summer winter, east west, north south, male female, "
    "alive dead, cheap expensive, easy difficult, brave cowardly, polite rude, smooth rough, asleep awake"
)
PAST_TENSES = (
    "go went, eat ate, see saw, take took, write wrote, run ran, come came, give gave, know knew, think thought, "
    "buy bought, bring brought, teach taught, catch caught, find found, sleep slept, drink drank, sing sang, "
    "swim swam, begin began, break broke, speak spoke, choose chose, drive drove, fly flew, grow grew, throw threw, "
    "wear wore, forget forgot, sell sold, build built, send sent, lose lost, feel felt, keep kept, stand stood"
)
PLURALS = (
    "child children, man men, woman women, mouse mice, foot feet, tooth teeth, goose geese, person people, "
    "leaf leaves, knife knives, wolf wolves, box boxes, baby babies, city cities, potato potatoes, "
    "wife wives, life lives, half halves, story stories, party parties"
)
YOUNG = (
    "dog puppy, cat kitten, cow calf, horse foal, sheep lamb, duck duckling, goat kid, lion cub, pig piglet, "
    "kangaroo joey, swan cygnet, goose gosling, deer fawn"
)
SEQUENCES: dict[str, str] = {
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April May June July August September October November December",
    "number": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
    "letter": "A B C D E F G H I J K L M N O P",
}
JOBS = (
    "teaches children at school=a teacher, repairs teeth=a dentist, flies an aeroplane=a pilot, bakes bread=a baker, "
    "cuts hair=a hairdresser, puts out fires=a firefighter, grows crops=a farmer, treats sick animals=a vet, "
    "repairs water pipes=a plumber, designs buildings=an architect, defends people in court=a lawyer, "
    "cooks in a restaurant=a chef, delivers letters=a postman, writes books=an author, paints pictures=a painter, "
    "catches fish=a fisherman, makes furniture of wood=a carpenter, sells meat=a butcher, "
    "takes photographs=a photographer, plays in films=an actor"
)


def facts() -> list[Fact]:
    """All questions with their right answers, in a fixed order."""
    questions = [
        Fact(f"What kind of thing is the word '{word.replace('-', ' ')}'?", kind, tuple(KINDS))
        for kind, words in KINDS.items()
        for word in words.split()
    ]
    questions += _of_pairs("What is the opposite of '{}'?", OPPOSITES)
    questions += _of_pairs("What is the past tense of the verb '{}'?", PAST_TENSES)
    questions += _of_pairs("What is the plural of the word '{}'?", PLURALS)
    questions += _of_pairs("What is a young {} called?", YOUNG)
    for name, text in SEQUENCES.items():
        words = tuple(text.split())
        questions += [
            Fact(f"Which {name} comes right after {word}?", after, tuple(w for w in words if w != word))
            for word, after in pairwise(words)
        ]
    pairs = [part.strip().split("=") for part in JOBS.split(",")]
    answers = tuple(answer for _, answer in pairs)
    return [*questions, *(Fact(f"Who {deed}?", answer, answers) for deed, answer in pairs)]


def _of_pairs(question: str, text: str) -> list[Fact]:
    pairs = [part.split() for part in text.split(",")]
    answers = tuple(answer.replace("-", " ") for _, answer in pairs)
    return [Fact(question.format(word), answer, answers) for (word, _), answer in zip(pairs, answers, strict=True)]


def texts() -> Iterator[str]:
    """Texts without end that state the facts in turn, a few sentences each, in words other than the questions'.

    They repeat after all facts have been told, so that a caller can mix them with other texts.
    """
    sentences = [
        *(f"The word '{word}' stands for {kind}." for kind, words in KINDS.items() for word in words.split()),
        *_sentences("'{}' is the opposite of '{}'.", OPPOSITES),
        *_sentences("I {} today, and yesterday I {}.", PAST_TENSES),
        *_sentences("One {}, but many {}.", PLURALS),
        *_sentences("A young {} is called a {}.", YOUNG),
        *(f"After {a} comes {b}." for text in SEQUENCES.values() for a, b in pairwise(text.split())),
        *(f"It is {answer} who {deed}." for deed, answer in (part.strip().split("=") for part in JOBS.split(","))),
    ]
    order = torch.randperm(len(sentences), generator=named_generator("texts", "embedded/everyday")).tolist()
    stream = (sentences[index] for index in cycle(order))
    while True:
        yield " ".join(islice(stream, SENTENCES_PER_TEXT))


def _sentences(form: str, text: str) -> list[str]:
    return [form.format(*(word.replace("-", " ") for word in part.split())) for part in text.split(",")]
