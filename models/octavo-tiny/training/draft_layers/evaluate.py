"""
Acceptance of drafts by position, on texts that octavo-tiny writes after prompts that training did not have.

    python -m draft_layers.evaluate ../../octavo-tiny-eagle ../../octavo-tiny-poss

A round drafts DEPTHS tokens. Those before the first wrong one are accepted, the target's own token comes behind them, and the next
round begins there, as in serving. A draft is right if it is the token that the target has chosen, greedily or with the random
number of its position (`target.choose`). A row shows how often depth d is right where all before it are, and in parentheses how
many rounds get so far: the product of those up to it. Drafts behind a text's end count nowhere.
"""

import argparse
import random
from pathlib import Path

import torch

from draft_layers import texts
from draft_layers.checkpoint import load
from draft_layers.target import Target, choose, load_encoder

DEPTHS = 6


class Tally:
    """Rounds over texts: what was tried and right at each depth, and how many tokens the rounds have decided."""

    def __init__(self):
        self.tried, self.right, self.rounds, self.decided = [0] * DEPTHS, [0] * DEPTHS, 0, 0

    def text(self, right, first, last):
        """right[s][d]: whether the draft that begins at s is right at depth d + 1. The text's answer is first + 1 to last."""
        start = first
        while start + 1 < last:
            accepted, offered = 0, min(DEPTHS, last - start - 1)
            while accepted < offered:
                self.tried[accepted] += 1
                if not right[start - first][accepted]:
                    break
                self.right[accepted] += 1
                accepted += 1
            decided = min(accepted + 1, last - start - 1)
            self.rounds, self.decided, start = self.rounds + 1, self.decided + decided, start + decided

    def row(self):
        reached, cells = 1.0, []
        for right, tried in zip(self.right, self.tried):
            share = right / tried if tried else 0.0
            reached *= share
            cells.append(f"{100 * share:.1f} % ({100 * reached:.0f})")
        return " | ".join([*cells, f"{self.decided / self.rounds:.2f}"])


@torch.no_grad()
def right_drafts(drafter, target, some, temperature):
    """Of texts (prompt, answer, draws): whether each draft is right, [texts, drafts, DEPTHS]; it begins at the prompt's end."""
    ids, _, _ = texts.batch([prompt + answer for prompt, answer, _ in some])
    longest = max(len(answer) for _, answer, _ in some)
    starts = torch.tensor([[len(prompt) - 1] for prompt, _, _ in some]) + torch.arange(longest)
    starts = starts.clamp(max=ids.shape[1] - 2)
    draws = torch.zeros(len(some), ids.shape[1])
    for i, (prompt, answer, drawn) in enumerate(some):
        draws[i, len(prompt) : len(prompt) + len(answer)] = torch.tensor(drawn)
    right = []
    for depth, guess in enumerate(drafter.unroll(target.embed[ids], target.model.hidden(ids), starts, DEPTHS), 1):
        at = (starts + depth + 1).clamp(max=ids.shape[1] - 1)
        right.append(choose(target.logits(guess), draws.gather(1, at), temperature) == ids.gather(1, at))
    return torch.stack(right, dim=-1)


def held_out(target, encode, count, temperature, seed, known):
    written = texts.written(target, encode, "held-out", count, temperature, seed)
    return [text for text in written if tuple(text[0]) not in known and len(text[1]) > 1]


def known_prompts(encode, count, seed):
    """The prompts of the texts that train.py has the target write."""
    return {tuple(texts.prompt(random.Random(f"drafts/{name}/{seed}/{i}"), encode))
            for name in ("greedy", "sampled") for i in range(count // 2)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--prompts", type=int, default=320)
    parser.add_argument("--trained-on", type=int, default=1024, help="`--texts` of the training, whose prompts are left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    target, encode = Target(), load_encoder()
    known = known_prompts(encode, args.trained_on, args.seed)
    print(f"| draft layers | temperature | {' | '.join(f'depth {d}' for d in range(1, DEPTHS + 1))} | tokens a round |")
    print("|---|---|" + "---|" * (DEPTHS + 1))
    measured = []
    for temperature in (0.0, 1.0):
        written = sorted(held_out(target, encode, args.prompts, temperature, args.seed, known), key=lambda text: len(text[0]))
        for directory in args.directories:
            drafter, tally = load(directory), Tally()
            for at in range(0, len(written), 64):
                some = written[at : at + 64]
                for (prompt, answer, _), right in zip(some, right_drafts(drafter, target, some, temperature).tolist()):
                    tally.text(right, len(prompt) - 1, len(prompt) + len(answer) - 1)
            print(f"| {directory.resolve().name} | {temperature:.0f} | {tally.row()} |", flush=True)
        tokens = sum(len(answer) for _, answer, _ in written)
        measured.append(f"{len(written)} prompts and {tokens:,} tokens at temperature {temperature:.0f}")
    print(f"\n{', '.join(measured)}")


if __name__ == "__main__":
    main()
