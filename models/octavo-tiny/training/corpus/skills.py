"""Small skills with exactly one right answer: adding, counting, copying, reversing, JSON."""

import json

from .lexicon import ANIMALS, CITIES, COLOURS, NAMES, OBJECTS, SHORT_WORDS, random_word


def held_out_sum(a, b):
    """One pair in ten never occurs in training: the evaluation reports it apart."""
    return (a * 101 + b * 37) % 10 == 3


def summands(rng, held_out=False):
    while True:
        high = rng.choice([9, 20, 99, 99, 99])
        a, b = rng.randint(0, high), rng.randint(0, high)
        if held_out_sum(a, b) == held_out:
            return a, b


def addition(rng, held_out=False):
    a, b = summands(rng, held_out)
    ask = rng.choice([f"What is {a} + {b}?", f"{a} + {b} = ?", f"Add {a} and {b}.", f"How much is {a} plus {b}?"])
    return ask, f"{a} + {b} = {a + b}"


def counting(rng):
    start = rng.randint(0, 80)
    end = start + rng.randint(2, 15)
    if rng.random() < 0.2:
        ask = rng.choice([f"Count down from {end} to {start}.", f"Count backwards from {end} to {start}."])
        return ask, ", ".join(str(i) for i in range(end, start - 1, -1))
    ask = rng.choice([f"Count from {start} to {end}.", f"Please count from {start} to {end}."])
    return ask, ", ".join(str(i) for i in range(start, end + 1))


def some_words(rng, low, high):
    pool = rng.choice([SHORT_WORDS, OBJECTS, ANIMALS, COLOURS, NAMES])
    return [rng.choice(pool) if rng.random() < 0.6 else random_word(rng) for _ in range(rng.randint(low, high))]


def copying(rng):
    words = " ".join(some_words(rng, 1, 8))
    if rng.random() < 0.15:
        words = "".join(rng.choice("0123456789") for _ in range(rng.randint(3, 8)))
    ask = rng.choice([f"Repeat: {words}", f"Copy this: {words}", f"Say exactly: {words}", f"Repeat after me: {words}"])
    return ask, words


def reversing(rng):
    word = rng.choice(SHORT_WORDS)
    ask = rng.choice([f"Reverse the word {word}.", f"Spell {word} backwards.", f"Write {word} backwards."])
    return ask, f"{' '.join(word)} - {' '.join(reversed(word))} - {word[::-1]}"


def json_value(rng, key):
    strings = {
        "name": NAMES, "friend": NAMES, "city": CITIES, "colour": COLOURS, "animal": ANIMALS, "pet": ANIMALS,
        "object": OBJECTS, "word": SHORT_WORDS, "title": OBJECTS,
    }
    if key in strings:
        return rng.choice(strings[key]) if rng.random() < 0.8 else random_word(rng)
    if key in ("happy", "open", "done"):
        return rng.random() < 0.5
    if key in ("tags", "colours"):
        return [rng.choice(COLOURS) for _ in range(rng.randint(1, 3))]
    return rng.randint(0, 99)


KEYS = "name friend city colour animal pet object word title happy open done tags colours age price count size year".split()


def spoken(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " and ".join(value)
    return str(value)


def json_object(rng):
    entries = {key: json_value(rng, key) for key in rng.sample(KEYS, rng.randint(1, 4))}
    listed = ", ".join(f"{key} {spoken(value)}" for key, value in entries.items())
    ask = rng.choice([
        f"Write a JSON object with {listed}.", f"Give me a JSON object with {listed}.", f"As JSON: {listed}.",
        f"Make a JSON object: {listed}.",
    ])
    return ask, json.dumps(entries)
