"""
Writes the held-out samples of `npm run bench:quality`: the questions of evaluate.py with their one right answer, and stories.

    python quality_samples.py ../../../bench/fixtures/octavo-tiny-quality.json

It needs nothing but Python. Distances of the key read-back are therefore counted in letters: four of them make a token, about.
"""

import json
import random
import sys

from corpus import recall, skills, stories, talk, tools

SAMPLES, LONG_SAMPLES, STORIES = 200, 50, 60


def length_of(text):
    return len(text) // 4


TASKS = {
    "facts": (talk.fact, SAMPLES),
    "copying": (skills.copying, SAMPLES),
    "JSON": (skills.json_object, SAMPLES),
    "additions": (skills.addition, SAMPLES),
    "additions kept out of training": (lambda rng: skills.addition(rng, held_out=True), SAMPLES),
    "counting": (skills.counting, SAMPLES),
    "reversing": (skills.reversing, SAMPLES),
    "key over 200 tokens": (lambda rng: recall.recall_at(rng, length_of, 200), SAMPLES // 2),
    "key over 1400 tokens": (lambda rng: recall.recall_at(rng, length_of, 1400), LONG_SAMPLES),
}


def samples():
    for name, (task, count) in TASKS.items():
        for i in range(count):
            question, expected = task(random.Random(f"quality/{name}/{i}"))
            yield {"task": name, "messages": [{"role": "user", "content": question}], "expected": expected}
    for i in range(SAMPLES // 2):
        listed, turns = tools.tool_session(random.Random(f"quality/tools/{i}"))
        at = next(k for k, (role, _) in enumerate(turns) if role == "tool")
        messages = [{"role": role, "content": text} for role, text in turns]
        yield {"task": "tool calls", "messages": messages[: at - 1], "tools": listed, "expected": turns[at - 1][1]}
        yield {"task": "answers from tool results", "messages": messages[: at + 1], "tools": listed, "expected": turns[at + 1][1]}


def main():
    texts = [stories.story(random.Random(f"quality/story/{i}")) for i in range(STORIES)]
    with open(sys.argv[1], "w") as file:
        json.dump({"samples": list(samples()), "stories": texts}, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
