"""
Measures a checkpoint on seeds that training never saw, greedily: share of answers that are exactly right.

    python evaluate.py checkpoints/last.pt [samples per task]
"""

import json
import random
import sys

import torch

from corpus import recall, skills, stories, talk, tools
from corpus.conversation import END
from reference import greedy, load_model, load_tokenizer

torch.set_num_threads(2)


def is_json(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class Evaluation:
    def __init__(self, checkpoint, samples):
        self.tokenizer, self.model, self.samples = load_tokenizer(), load_model(checkpoint), samples

    def answer(self, messages, offered=None, limit=120):
        ids = self.tokenizer.apply_chat_template(messages, tools=offered, add_generation_prompt=True, return_dict=True)["input_ids"]
        tokens, _, _ = greedy(self.model, ids, limit, END)
        return self.tokenizer.decode([token for token in tokens if token != END], skip_special_tokens=False)

    def ask(self, name, task, right=lambda answer, expected: answer == expected, samples=None):
        """`task(rng)` gives (question, expected answer)."""
        hits, samples = 0, samples or self.samples
        for i in range(samples):
            question, expected = task(random.Random(f"held-out/{name}/{i}"))
            hits += right(self.answer([{"role": "user", "content": question}]), expected)
        print(f"| {name} | {100 * hits / samples:.1f} % | {samples} |", flush=True)

    def tools(self):
        calls = answers = 0
        for i in range(self.samples):
            listed, turns = tools.tool_session(random.Random(f"held-out/tools/{i}"))
            at = next(k for k, (role, _) in enumerate(turns) if role == "tool")
            messages = [{"role": role, "content": text} for role, text in turns]
            calls += self.answer(messages[: at - 1], listed) == turns[at - 1][1]
            answers += self.answer(messages[: at + 1], listed) == turns[at + 1][1]
        print(f"| tool calls, exact | {100 * calls / self.samples:.1f} % | {self.samples} |")
        print(f"| answers from tool results, exact | {100 * answers / self.samples:.1f} % | {self.samples} |", flush=True)

    def length_of(self, text):
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def main():
    e = Evaluation(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    print("| task | accuracy | samples |\n|---|---|---|")
    e.ask("facts", talk.fact)
    e.ask("copying", skills.copying)
    e.ask("JSON, well formed", skills.json_object, lambda answer, _: is_json(answer))
    e.ask("JSON, exact", skills.json_object)
    e.ask("additions", skills.addition)
    e.ask("additions of pairs kept out of training", lambda rng: skills.addition(rng, held_out=True))
    e.ask("counting", skills.counting)
    e.ask("reversing short words", skills.reversing)
    for distance in (200, 1400):
        e.ask(f"key read-back over {distance} tokens",
              lambda rng, d=distance: recall.recall_at(rng, e.length_of, d), samples=min(e.samples, 200))
    e.tools()
    for animal in ("fox", "owl"):
        print(f"\n> {e.answer([{'role': 'user', 'content': f'Tell me a story about a {animal}.'}], limit=200)}")


if __name__ == "__main__":
    main()
