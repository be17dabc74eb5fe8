"""
What draft layers learn from and are measured on: prompts of the corpus with the answers that the target itself gives, greedy and
at temperature 1, and a smaller part of the corpus as it is.
"""

import random

import torch

from corpus.conversation import ASSISTANT, BOS, END, PAD, ROLES
from corpus.mixture import training_row

STAGE = 3  # The mixture of the last stage has every kind of text.
SHORT, LONG = 256, 1536  # Tokens of a text.
STORY_PROMPT = 8  # Of a running text, these first tokens are the prompt.


def prompt(rng, encode):
    """The ids of a conversation up to where the assistant speaks, or the beginning of a story."""
    while True:
        ids, _ = training_row(rng, encode, SHORT - 64, STAGE)
        asked = [i for i, token in enumerate(ids) if token == ASSISTANT]
        if not asked:
            return ids[:STORY_PROMPT]
        end = rng.choice(asked) + 1
        begin = max(i for i in range(end) if ids[i] == BOS)
        if end - begin > 4:
            return ids[begin:end]


def spoken(ids):
    """Which tokens are the target's to say: those of assistants' turns with their END, and texts that are no conversation."""
    flags, speaking = [], False
    for before, token in zip([None, *ids], ids):
        if before == BOS:
            speaking = token not in ROLES.values()
        elif before == ASSISTANT:
            speaking = True
        flags.append(speaking)
        if token == END:
            speaking = False
    return flags


def has_drafts(ids):
    """Whether two tokens in a row are spoken: see `batch`."""
    flags = spoken(ids)
    return any(a and b for a, b in zip(flags[1:], flags[2:]))


def written(target, encode, name, count, temperature, seed, limit=160, rows=64):
    """
    `count` texts that the target writes: (prompt, answer, draws) each. `name` and `seed` fix the prompts and the random numbers.
    """
    prompts = [prompt(random.Random(f"drafts/{name}/{seed}/{i}"), encode) for i in range(count)]
    generator = torch.Generator().manual_seed(random.Random(f"drafts/{name}/{seed}").getrandbits(32))
    order, texts = sorted(range(count), key=lambda i: len(prompts[i])), [None] * count
    for at in range(0, count, rows):
        some = order[at : at + rows]
        for i, (answer, draws) in zip(some, target.write([prompts[i] for i in some], temperature, limit, generator)):
            texts[i] = prompts[i], answer, draws
    return texts


def copied(encode, name, count, length, seed):
    """Texts of the corpus itself."""
    return [training_row(random.Random(f"drafts/{name}/{seed}/{i}"), encode, length, STAGE)[0] for i in range(count)]


def batch(texts):
    """
    Token ids [batch, time], the positions where drafts begin [batch, drafts], padded with -1, and which tokens are spoken.

    A draft begins where the next token is spoken, and the one behind it is, too: that is what it guesses first.
    """
    ids = torch.full((len(texts), max(map(len, texts))), PAD)
    flags = torch.zeros(ids.shape, dtype=torch.bool)
    for i, text in enumerate(texts):
        ids[i, : len(text)] = torch.tensor(text)
        flags[i, : len(text)] = torch.tensor(spoken(text))
    begins = flags[:, 1:-1] & flags[:, 2:]
    starts = torch.full((len(texts), max(1, int(begins.sum(1).max()))), -1)
    for i, row in enumerate(begins):
        at = row.nonzero()[:, 0]
        starts[i, : len(at)] = at
    return ids, starts, flags


def right_so_far(starts, flags, depths):
    """Whether the token that depth 1, 2, ... guesses is spoken, in the same turn: [depths, batch, drafts]."""
    live, found = starts >= 0, []
    for depth in range(1, depths + 1):
        at = starts.clamp(min=0) + depth + 1
        live = live & (at < flags.shape[1]) & flags.gather(1, at.clamp(max=flags.shape[1] - 1))
        found.append(live)
    return torch.stack(found)
