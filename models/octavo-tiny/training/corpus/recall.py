"""Reading a key's value back out of a long text."""

from .lexicon import NAMES, random_word
from .stories import filler

KINDS = ["code", "number", "password", "key"]


def statement(kind, owner, value):
    return f"The {kind} of {owner} is {value}."


def value_of(rng):
    return "".join(rng.choice("0123456789") for _ in range(4))


def owners(rng, count):
    """Distinct owners; half of them nobody has heard of, so that memory does not help."""
    known = rng.sample(NAMES, count)
    return [name if rng.random() < 0.5 else random_word(rng, 4, 6).capitalize() + f"{i % 10}" * (i > 9)
            for i, name in enumerate(known)]


def haystack(rng, length_of, budget, needles, first_at=None):
    """
    Filler up to `budget` tokens with the needles strewn in. With `first_at`, the first needle stands before that many
    tokens of text that follow it, and the others after it.
    """
    pieces, used = [], 0
    while used < budget:
        piece = filler(rng)
        pieces.append(piece)
        used += length_of(piece) + 1
    spots = [rng.randint(0, len(pieces)) for _ in needles]
    if first_at is not None:
        spots[0] = 0
    for spot, needle in sorted(zip(spots, needles), key=lambda pair: -pair[0]):
        pieces.insert(spot, needle)
    return " ".join(pieces)


def recall(rng, length_of, budget, questions):
    """
    A conversation about one long text: [(ask, answer), ...]. The text stands in the first question. `length_of` counts
    tokens of a text.
    """
    count = max(questions, rng.randint(1, max(1, budget // 60)))
    kinds = [rng.choice(KINDS) for _ in range(count)]
    people = owners(rng, min(count, len(NAMES)))
    facts = [(kind, owner, value_of(rng)) for kind, owner in zip(kinds, people)]
    needles = [statement(*fact) for fact in facts]
    text = haystack(rng, length_of, budget, needles)
    asked = rng.sample(facts, min(questions, len(facts)))
    turns = [(f"What is the {kind} of {owner}?", statement(kind, owner, value)) for kind, owner, value in asked]
    turns[0] = (f"{text}\n\n{turns[0][0]}", turns[0][1])
    return turns


def recall_at(rng, length_of, distance, keys=4):
    """One question whose needle stands `distance` tokens, or a little more, before the end: (ask, answer)."""
    facts = [(rng.choice(KINDS), owner, value_of(rng)) for owner in owners(rng, keys)]
    text = haystack(rng, length_of, distance - 12 * keys, [statement(*fact) for fact in facts], first_at=distance)
    kind, owner, value = facts[0]
    return f"{text}\n\nWhat is the {kind} of {owner}?", statement(kind, owner, value)
