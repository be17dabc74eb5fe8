"""
Measures a checkpoint on seeds that training never saw, greedily: share of answers that are exactly right.

    python evaluate.py checkpoints/last.pt [samples per task]
"""

import json
import random
import sys

import torch

from corpus import beyond, casual, first_words, recall, skills, talk, tools
from corpus.conversation import END, PAD
from reference import greedy_batch, load_model, load_tokenizer

torch.set_num_threads(2)

# One of these, or none, stands before the first words. The last was never seen in training.
SYSTEM_PROMPTS = [None, None, None, "You are a helpful assistant.", "You are a kind librarian."]
SHOWN = [
    "hi", "hey", "Hello!", "hello??", "good morning", "how are you", "whats up", "who are you", "what is your name", "are you chatgpt",
    "what can you do", "help", "help me pls", "what is octavo", "tell me a joke", "another joke", "write a poem",
    "write a poem about a fox", "thanks", "thx!", "bye", "test", "?", "", "...", "asdf", "qwertz", "banana", "ok", "lol",
    "i am bored", "you are stupid", "my name is Tom", "what is 2+2", "3+4", "capital of france", "what color is the sky",
    "capital of brazil", "what time is it", "who is the president", "explain quantum physics", "write a python script",
    "what is the meaning of life", "waht can yuo do", "hola",
]


def is_json(text):
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class Evaluation:
    def __init__(self, checkpoint, samples):
        self.tokenizer, self.model, self.samples = load_tokenizer(), load_model(checkpoint), samples

    def answers(self, chats, limit=120):
        """The greedy answer to each of the chats, which are (messages, tools)."""
        prompts = [
            self.tokenizer.apply_chat_template(messages, tools=offered, add_generation_prompt=True, return_dict=True)["input_ids"]
            for messages, offered in chats
        ]
        found = greedy_batch(self.model, prompts, limit, END, PAD)
        return [self.tokenizer.decode(tokens, skip_special_tokens=False) for tokens in found]

    def to_questions(self, questions, limit=120):
        return self.answers([([{"role": "user", "content": question}], None) for question in questions], limit)

    def report(self, name, answers, expected, right=lambda answer, expected: answer == expected):
        hits = sum(right(answer, wanted) for answer, wanted in zip(answers, expected, strict=True))
        print(f"| {name} | {100 * hits / len(answers):.1f} % | {len(answers)} |", flush=True)

    def ask(self, name, task, **how):
        """`task(rng)` gives (question, expected answer)."""
        questions, expected = zip(*(task(random.Random(f"held-out/{name}/{i}")) for i in range(self.samples)))
        self.report(name, self.to_questions(questions), expected, **how)

    def converse(self, name, makers, right):
        """First words, drawn with `makers` in phrasings that training may have seen, and in others that it never saw."""
        for kept_out in (False, True):
            label = f"{name}, kept out of training" if kept_out else name
            chats, expected = [], []
            for i in range(self.samples):
                rng = random.Random(f"held-out/{label}/{i}")
                question, accepted = first_words.draw(rng, makers, kept_out)
                system = rng.choice(SYSTEM_PROMPTS)
                before = [{"role": "system", "content": system}] if system else []
                chats.append(([*before, {"role": "user", "content": question}], None))
                expected.append(accepted)
            self.report(label, self.answers(chats), expected, right)

    def tools(self):
        calls, answers, expected_calls, expected_answers = [], [], [], []
        for i in range(self.samples):
            listed, turns = tools.tool_session(random.Random(f"held-out/tools/{i}"))
            at = next(k for k, (role, _) in enumerate(turns) if role == "tool")
            messages = [{"role": role, "content": text} for role, text in turns]
            calls.append((messages[: at - 1], listed))
            answers.append((messages[: at + 1], listed))
            expected_calls.append(turns[at - 1][1])
            expected_answers.append(turns[at + 1][1])
        self.report("tool calls, exact", self.answers(calls), expected_calls)
        self.report("answers from tool results, exact", self.answers(answers), expected_answers)

    def length_of(self, text):
        return len(self.tokenizer.encode(text, add_special_tokens=False))


def main():
    e = Evaluation(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
    print("| task | accuracy | samples |\n|---|---|---|")
    e.ask("facts", talk.fact)
    e.ask("copying", skills.copying)
    e.ask("JSON, well formed", skills.json_object, right=lambda answer, _: is_json(answer))
    e.ask("JSON, exact", skills.json_object)
    e.ask("additions", skills.addition)
    e.ask("additions of pairs kept out of training", lambda rng: skills.addition(rng, held_out=True))
    e.ask("counting", skills.counting)
    e.ask("reversing short words", skills.reversing)
    for distance in (200, 1400):
        e.ask(f"key read-back over {distance} tokens", lambda rng, d=distance: recall.recall_at(rng, e.length_of, d))
    e.tools()
    e.converse("first words", first_words.KNOWN, lambda answer, accepted: answer in accepted)
    e.converse("questions beyond it, answered honestly", first_words.BEYOND, lambda answer, _: answer in beyond.HONEST)
    e.ask("facts, as people type them", casual.fact)
    e.ask("additions, as people type them", casual.addition)
    print("\n| first words | answer |\n|---|---|")
    for text, answer in zip(SHOWN, e.to_questions(SHOWN)):
        print(f"| `{text}` | {answer.replace(chr(10), ' / ')} |")
    for story in e.to_questions([f"Tell me a story about {animal}." for animal in ("a fox", "an owl")], limit=200):
        print(f"\n> {story}")


if __name__ == "__main__":
    main()
