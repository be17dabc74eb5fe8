"""
Trains draft layers for octavo-tiny on the CPU, from a seed: EAGLE's one layer and PosS' specialists, on the same batches.

    python -m draft_layers.train --out checkpoints/draft-layers

Both are unrolled as they serve (HASS, Zhang et al. 2024; "training-time test" of EAGLE-3, Li et al. 2025): depth 2 learns from
rows that depth 1 has put out, and so on. For the first half of the steps there is one layer. Then each specialist begins as a copy
of it, and the one layer goes on beside them. `--depths 1 --specialists 1` trains the one layer as EAGLE's paper does, on the target's
rows alone, to compare with.
"""

import argparse
import copy
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from draft_layers import texts
from draft_layers.checkpoint import save
from draft_layers.drafter import Drafter
from draft_layers.target import Target, load_encoder
from model import Shape
from muon import Muon

MUON_LR, ADAM_LR = 0.02, 0.003
TOKEN_LOSS = 0.1  # Weight of the tokens beside the hidden rows (EAGLE, section 4.2).
SHARED, WARM_UP, DECAY = 0.5, 0.03, 0.5  # Shares of the steps: with one layer alone, with a growing rate, and with a falling one.
BATCH_TOKENS = 4096


def learning_rate(progress):
    return min(1.0, progress / WARM_UP) * min(1.0, (1.0 - progress) / DECAY)


class Material:
    """The texts with the target's hidden rows, computed once and kept in float16, in batches of about one length."""

    def __init__(self, target, all_texts):
        self.batches = []
        some = []
        for text in sorted(all_texts, key=len):
            if some and len(text) * (len(some) + 1) > BATCH_TOKENS:
                self.add(target, some)
                some = []
            some.append(text)
        self.add(target, some)

    def add(self, target, some):
        ids, starts, flags = texts.batch(some)
        with torch.no_grad():
            hidden = target.model.hidden(ids).half()
        self.batches.append((ids, starts, flags, hidden))

    def shuffled(self, rng):
        """Batches without end: each epoch has all of them, in another order."""
        while True:
            for i in rng.sample(range(len(self.batches)), len(self.batches)):
                yield self.batches[i]


def collect(target, encode, own, seed, rows=256):
    """`own` texts that the target writes, half of them greedily; a quarter as many of the corpus, and some long ones."""
    found = []
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        found += [before + answer for before, answer, _ in
                  texts.written(target, encode, name, own // 2, temperature, seed, rows=rows)]
    found += texts.copied(encode, "short", own // 4, texts.SHORT, seed)
    found += texts.copied(encode, "long", own // 64, texts.LONG, seed)
    return [text for text in found if texts.has_drafts(text)]


def loss_of(drafter, target, batch, depths):
    """Mean over the depths, and what each of them gets right: of its guesses behind right ones."""
    ids, starts, flags, hidden = batch
    hidden, begins = hidden.float(), starts.clamp(min=0)
    live = texts.right_so_far(starts, flags, depths)
    flat = hidden.flatten(0, 1)
    offset = torch.arange(len(ids))[:, None] * ids.shape[1]
    loss, accuracy = 0.0, []
    for depth, guess in enumerate(drafter.unroll(target.embed[ids], hidden, begins, depths), 1):
        chosen = live[depth - 1]
        guess, true = guess[chosen], flat[(begins + depth + offset)[chosen]]
        logits, wanted = target.logits(guess).float(), target.logits(true).float()
        token_loss = F.cross_entropy(logits, wanted.softmax(-1))
        loss = loss + (F.smooth_l1_loss(guess.float(), true) + TOKEN_LOSS * token_loss) / depths
        accuracy.append((logits.argmax(-1) == wanted.argmax(-1)).float().mean().item())
    return loss, accuracy


class Run:
    """A drafter and its optimizers."""

    def __init__(self, drafter):
        self.drafter, self.accuracy = drafter, None
        matrices = [p for p in drafter.parameters() if p.dim() == 2]
        others = [p for p in drafter.parameters() if p.dim() != 2]
        self.steppers = [Muon(matrices, MUON_LR), torch.optim.AdamW(others, ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0)]
        self.base = [group["lr"] for stepper in self.steppers for group in stepper.param_groups]

    def step(self, target, batch, depths, scale, bf16):
        for group, lr in zip((g for s in self.steppers for g in s.param_groups), self.base):
            group["lr"] = lr * scale
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, accuracy = loss_of(self.drafter, target, batch, depths)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.drafter.parameters(), 1.0)
        for stepper in self.steppers:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        before = self.accuracy or accuracy
        self.accuracy = [0.95 * old + 0.05 * new for old, new in zip(before, accuracy)]
        return loss.item()

    def forked(self, specialists):
        """A run whose specialists are copies of this one's layer, with new optimizers."""
        drafter = copy.deepcopy(self.drafter)
        drafter.specialists.extend(copy.deepcopy(drafter.specialists[0]) for _ in range(specialists - 1))
        return Run(drafter)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--texts", type=int, default=1024, help="texts that the target writes")
    parser.add_argument("--specialists", type=int, default=4)
    parser.add_argument("--depths", type=int, default=4, help="how deep drafts are unrolled")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("checkpoints/draft-layers"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    target, began = Target(), time.process_time()
    seconds = lambda: f"{time.process_time() - began:.0f} s of processor time"
    kept = args.out / f"texts-{args.texts}-{args.seed}.pt"
    args.out.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        torch.save(collect(target, load_encoder(), args.texts, args.seed), kept)
    material = Material(target, torch.load(kept))
    drafts = sum(int((starts >= 0).sum()) for _, starts, _, _ in material.batches)
    print(f"{drafts:,} drafts in {len(material.batches)} batches, {seconds()}", flush=True)
    runs = {"eagle": Run(Drafter(Shape()))}
    batches = material.shuffled(random.Random(args.seed))
    for step in range(args.steps):
        if step == round(args.steps * SHARED) and args.specialists > 1:
            runs["poss"] = runs["eagle"].forked(args.specialists)
        batch = next(batches)
        losses = {name: run.step(target, batch, args.depths, learning_rate((step + 1) / args.steps), args.bf16)
                  for name, run in runs.items()}
        if step % 20 == 0 or step + 1 == args.steps:
            shown = "; ".join(f"{name} {losses[name]:.4f}, right {' '.join(f'{a:.3f}' for a in run.accuracy)}"
                              for name, run in runs.items())
            print(f"step {step}: {shown}; {seconds()}", flush=True)
    for name, run in runs.items():
        save(run.drafter, args.out / name)


if __name__ == "__main__":
    main()
