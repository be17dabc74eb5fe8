"""How people type: without capitals or a full stop, with a slip of the finger, a word of politeness, a space too many."""

import string

BEFORE = ["please ", "so ", "hey, ", "hi, ", "ok, ", "and ", "um ", "well, ", "hello, "]
AFTER = [" please", " pls", " :)", " thanks", " now", " octavo", " ?", " again", " bro"]


def slip(rng, text):
    """One letter of a longer word left out, doubled, or swapped with its neighbour."""
    spots = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if not spots or len(text) < 5:
        return text
    i = rng.choice(spots)
    return rng.choice([
        text[:i] + text[i + 1 :], text[:i] + text[i] + text[i:], text[:i] + text[i + 1] + text[i] + text[i + 2 :],
    ])


def letters(rng, text):
    """Small letters most often; now and then as written, or shouted."""
    draw = rng.random()
    return text.lower() if draw < 0.55 else text.upper() if draw > 0.97 else text


def ending(rng, text):
    """The sign at the end left out, repeated, or taken for another."""
    bare = text.rstrip(".!?")
    if not bare or bare[-1] not in string.ascii_letters:
        return text
    draw = rng.random()
    if draw < 0.5:
        return bare
    if draw < 0.6:
        return bare + rng.choice(["!", "?", ".", "!!", "??", "...", " !", " ?", "!?"])
    return text


def careless(rng, text, slips=0.15, phrases=0.12):
    """`text` as somebody in a hurry types it: never another meaning, and about one time in three as it stands."""
    if rng.random() < 0.15:
        return text
    if rng.random() < phrases:
        if rng.random() < 0.5:
            text = rng.choice(BEFORE) + (text[0].lower() + text[1:] if text[1:2].islower() else text)
        else:
            text = text.rstrip(".!?") + rng.choice(AFTER)
    if "'" in text and rng.random() < 0.5:
        text = text.replace("'", rng.choice(["", "’"]))
    text = ending(rng, letters(rng, text))
    if rng.random() < slips:
        text = slip(rng, text)
    if rng.random() < 0.04:
        text = rng.choice([" ", "", "\n"]) + text + rng.choice([" ", "\n", "  "])
    return text
