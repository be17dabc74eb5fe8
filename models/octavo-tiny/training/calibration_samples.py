"""
Writes the texts that `npm run bench:quality` calibrates with: conversations and stories from other seeds than those it measures by.

    python calibration_samples.py ../../../bench/fixtures/octavo-tiny-calibration.jsonl

It needs nothing but Python.
"""

import json
import random
import sys

from corpus import recall, skills, stories, talk, tools
from quality_samples import length_of

TASKS = [
    talk.fact,
    skills.copying,
    skills.json_object,
    skills.addition,
    skills.counting,
    skills.reversing,
    lambda rng: recall.recall_at(rng, length_of, 200),
]
CONVERSATIONS, SESSIONS, STORIES = 70, 26, 32


def texts():
    for i in range(CONVERSATIONS):
        question, answer = TASKS[i % len(TASKS)](random.Random(f"calibration/{i}"))
        yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for i in range(SESSIONS):
        listed, turns = tools.tool_session(random.Random(f"calibration/tools/{i}"))
        yield {"messages": [{"role": role, "content": text} for role, text in turns], "tools": listed}
    for i in range(STORIES):
        yield {"text": stories.story(random.Random(f"calibration/story/{i}"))}


def main():
    with open(sys.argv[1], "w") as file:
        for text in texts():
            file.write(json.dumps(text, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
