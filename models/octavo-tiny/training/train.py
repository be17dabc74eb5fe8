"""
Trains octavo-tiny on the CPU, from a seed, in three stages (corpus/mixture.py says what each of them reads).

    python train.py --steps 4200 --bf16 --out checkpoints/skills
    python train.py --stage 2 --from checkpoints/skills/last.pt --steps 1000 --out checkpoints/first-words
    python train.py --stage 3 --from checkpoints/first-words/last.pt --steps 700 --out checkpoints

The first begins with nothing: short rows of mixed tasks come first, and rows of the whole context join in later, when the
model can already copy. The others begin with the weights of the one before, from a checkpoint or from an exported
model.onnx, at a lower learning rate.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch.utils.data import DataLoader, IterableDataset

from corpus.conversation import PAD
from corpus.mixture import training_row
from graph import weights_from
from model import TinyLlama
from muon import Muon

MODEL_DIR = Path(__file__).parent.parent
# (row length, rows) of short and of long rows: about 8,000 tokens a step either way, and half of that after the first stage.
ROWS = {1: ((256, 32), (2048, 4)), 2: ((256, 16), (2048, 2)), 3: ((256, 16), (2048, 2))}
MUON_LR, ADAM_LR = 0.01, 0.003
STAGE_LR = {1: 1.0, 2: 0.35, 3: 0.3}  # of the rates above
LATER_LONG_SHARE = {2: 0.15, 3: 0.35}


def long_share(progress, stage):
    """How many of the steps see long rows, by progress 0 to 1."""
    if stage > 1:
        return LATER_LONG_SHARE[stage]
    return 0.0 if progress < 0.15 else 0.15 if progress < 0.4 else 0.35


def learning_rate(progress):
    """Warm-up, plateau, and a long linear decay to zero (warmup-stable-decay)."""
    return min(1.0, progress / 0.01) * min(1.0, (1.0 - progress) / 0.5)


class Batches(IterableDataset):
    """Endless fresh text; batch `step` depends only on the seed and the step, so that training can resume."""

    def __init__(self, seed, start, steps, stage):
        self.seed, self.start, self.steps, self.stage = seed, start, steps, stage

    def __iter__(self):
        tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
        for step in range(self.start, self.steps):
            # The first stage's seed is older than the second stage, and without its number.
            rng = random.Random(f"{self.seed}/{step}" if self.stage == 1 else f"{self.seed}/{self.stage}/{step}")
            short, long = ROWS[self.stage]
            length, rows = long if rng.random() < long_share(step / self.steps, self.stage) else short
            ids = torch.full((rows, length + 1), PAD)
            weights = torch.zeros(rows, length + 1)
            for i in range(rows):
                row, weight = training_row(rng, encode, length + 1, self.stage)
                ids[i, : len(row)] = torch.tensor(row)
                weights[i, : len(weight)] = torch.tensor(weight)
            yield ids, weights


def optimizers(model, scale):
    hidden = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    # Muon (Jordan et al. 2024) learns small models in about half of AdamW's steps.
    return [
        Muon(hidden, lr=scale * MUON_LR),
        torch.optim.AdamW(others, lr=scale * ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def loss_of(model, ids, weights):
    targets, weights = ids[:, 1:], weights[:, 1:]
    chosen = weights > 0
    hidden = model.hidden(ids[:, :-1])[chosen]
    logits = F.linear(hidden, model.model.embed_tokens.weight)
    losses = F.cross_entropy(logits.float(), targets[chosen], reduction="none")
    weights = weights[chosen]
    return (losses * weights).sum() / weights.sum()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", type=int, choices=sorted(STAGE_LR), default=1)
    parser.add_argument("--from", dest="origin", type=Path, help="weights to begin with: a checkpoint, or model.onnx")
    parser.add_argument("--out", type=Path, default=Path("checkpoints"))
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    model = TinyLlama()
    if args.origin:
        model.load_state_dict(weights_from(args.origin))
    steppers = optimizers(model, STAGE_LR[args.stage])
    start, checkpoint = 0, args.out / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for stepper, saved in zip(steppers, state["optimizers"]):
            stepper.load_state_dict(saved)
        start = state["step"]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, from step {start}", flush=True)
    base = [group["lr"] for stepper in steppers for group in stepper.param_groups]
    losses, tokens, began = {}, 0, time.time()
    for step, (ids, weights) in enumerate(
        DataLoader(Batches(args.seed, start, args.steps, args.stage), batch_size=None, num_workers=1, prefetch_factor=8), start
    ):
        for group, lr in zip((g for s in steppers for g in s.param_groups), base):
            group["lr"] = lr * learning_rate(step / args.steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss = loss_of(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        tokens += ids.numel()
        kind = "long" if ids.shape[1] > 512 else "short"
        losses[kind] = 0.95 * losses.get(kind, loss.item()) + 0.05 * loss.item()
        if not math.isfinite(loss.item()):
            raise SystemExit(f"the loss is {loss.item()} at step {step}")
        if step % 20 == 0:
            shown = ", ".join(f"{kind} {value:.3f}" for kind, value in losses.items())
            print(f"step {step}: {shown}; {tokens / (time.time() - began):,.0f} tokens/s", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            state = {"model": model.state_dict(), "optimizers": [s.state_dict() for s in steppers], "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").rename(checkpoint)


if __name__ == "__main__":
    main()
