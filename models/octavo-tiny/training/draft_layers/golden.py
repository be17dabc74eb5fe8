"""
Writes the golden drafts of the tests: what both kinds of draft layers draft greedily, in float32, with the checkpoints' weights.

    python -m draft_layers.golden ../../../test/fixtures/octavo-tiny/drafts.json

A case is a prompt, the greedy answer to it, and drafts: `decided` tokens of prompt and answer are known, and the hidden rows of all
but the last of them. `tokens` are the draft of each kind at depth 1, 2, ...; `logits` those tokens' logits.
"""

import json
import random
import sys
from pathlib import Path

import torch

from corpus import recall, skills, stories, talk, tools
from corpus.conversation import ASSISTANT, BOS, END, USER, Row
from draft_layers.checkpoint import load
from draft_layers.target import Target, load_encoder
from reference import MODEL_DIR

KINDS = ("eagle", "poss")
DEPTHS, ANSWER = 4, 24
DRAFTS = 6  # Of one case.
# Two best logits closer than this could change places with the order of a sum.
MARGIN = 0.01


def asked(encode, question):
    return [BOS, USER, *encode(question), END, ASSISTANT]


def prompts(encode):
    rng = random.Random("golden/drafts")
    length_of = lambda text: len(encode(text))
    for task in (talk.fact, skills.addition, skills.counting, skills.copying, skills.json_object, stories.ask_story):
        yield asked(encode, task(rng)[0])
    for distance in (100, 400):
        yield asked(encode, recall.recall_at(rng, length_of, distance)[0])
    listed, turns = tools.tool_session(rng)
    row = Row(encode)
    row.system("", listed)
    for role, text in turns:
        if role == "assistant":
            yield [*row.ids, ASSISTANT]
        row.turn(role, text)
    yield [BOS, *encode(stories.story(rng))[:40]]


def drafted(drafter, target, hidden, tokens):
    """A draft, its logits, and the smallest distance of a best logit to the second-best."""
    logits, margins = [], []

    def best(guess, _):
        two = target.logits(guess).topk(2)
        logits.append(round(two.values[0].item(), 4))
        margins.append((two.values[0] - two.values[1]).item())
        return int(two.indices[0])

    return drafter.draft(target.embed, hidden, tokens, best, DEPTHS), logits, min(margins)


@torch.no_grad()
def case(target, drafters, prompt):
    (answer, _), = target.write([prompt], 0.0, ANSWER, torch.Generator())
    text = prompt + answer
    hidden = target.model.hidden(torch.tensor([text]))[0]
    drafts = []
    for decided in range(len(prompt) + 1, len(text)):
        found = {kind: drafted(drafter, target, hidden[: decided - 1], text[:decided]) for kind, drafter in drafters.items()}
        if min(margin for _, _, margin in found.values()) >= MARGIN:
            drafts.append({"decided": decided, **{kind: {"tokens": tokens, "logits": logits}
                                                  for kind, (tokens, logits, _) in found.items()}})
    apart = -(-len(drafts) // DRAFTS)
    return {"prompt": prompt, "answer": answer, "drafts": drafts[::apart]}


def main():
    torch.set_num_threads(1)
    target, encode = Target(), load_encoder()
    drafters = {kind: load(MODEL_DIR.parent / f"octavo-tiny-{kind}") for kind in KINDS}
    cases = [case(target, drafters, prompt) for prompt in prompts(encode)]
    path = Path(sys.argv[1])
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(f"{path}: {len(cases)} cases, {sum(len(c['drafts']) for c in cases)} drafts, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
