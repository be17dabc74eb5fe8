"""
Writes the golden files of the tests from transformers: greedy tokens and logits, token ids, rendered chats.

    python golden.py checkpoints/last.pt ../../../test/fixtures/octavo-tiny
"""

import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np
from corpus import recall, skills, stories, talk, tools
from corpus.conversation import BOS, END
from reference import greedy, load_model, load_tokenizer

# Around block and chunk borders, and up to 1,500 tokens.
LENGTHS = [5, 6, 7, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128, 129, 200, 255, 256, 257, 333, 400,
           511, 512, 513, 640, 777, 900, 1000, 1023, 1024, 1025, 1200, 1400, 1499, 1500]
# Two best logits closer than this could change places with the order of a sum.
MARGIN = 2e-3
# Logits are written as whole numbers of it.
STEP = 2.0**-13


def story_prompt(rng, tokenizer, length):
    """Exactly `length` tokens of running text."""
    ids = [BOS]
    while len(ids) < length:
        ids += tokenizer.encode(stories.story(rng), add_special_tokens=False) + [END, BOS]
    return ids[:length]


def chats(rng, tokenizer):
    """(messages, tools) of every task."""
    length_of = lambda text: len(tokenizer.encode(text, add_special_tokens=False))
    for task in (talk.small_talk, talk.fact, talk.fact, skills.addition, skills.addition, skills.counting, skills.copying,
                 skills.copying, skills.reversing, skills.json_object, skills.json_object, stories.ask_story):
        yield [{"role": "user", "content": task(rng)[0]}], None
    for distance in (100, 200, 700, 1400):
        yield [{"role": "user", "content": recall.recall_at(rng, length_of, distance)[0]}], None
    for _ in range(4):
        listed, turns = tools.tool_session(rng)
        at = next(i for i, (role, _) in enumerate(turns) if role == "tool")
        messages = [{"role": role, "content": text} for role, text in turns]
        yield messages[: at - 1], listed
        yield messages[: at + 1], listed


def generations(tokenizer, model):
    """Pairs: what is said of a prompt, and the logits after it."""

    def case(kind, ids, limit=24):
        tokens, logits, margin = greedy(model, ids, limit, END)
        return margin, {"kind": kind, "prompt": ids, "tokens": tokens}, logits.numpy()

    cases = []
    for length in LENGTHS:
        for attempt in range(20):
            margin, *entry = case("text", story_prompt(random.Random(f"golden/{length}/{attempt}"), tokenizer, length))
            if margin >= MARGIN:
                break
        cases.append(entry)
    seed = 0
    while len(cases) < len(LENGTHS) + 24:
        for messages, listed in chats(random.Random(f"golden/chat/{seed}"), tokenizer):
            ids = tokenizer.apply_chat_template(messages, tools=listed, add_generation_prompt=True, return_dict=True)["input_ids"]
            margin, *entry = case("chat", ids)
            if margin >= MARGIN and len(cases) < len(LENGTHS) + 24:
                cases.append(entry)
        seed += 1
    return cases


def packed(logits):
    """Numbers of 24 bits: all lowest bytes, all middle ones, all highest ones, which hardly differ."""
    steps = np.rint(logits / STEP).astype("<i4")
    planes = steps.reshape(-1).view(np.uint8).reshape(-1, 4)[:, :3].T
    return gzip.compress(planes.tobytes(), 9, mtime=0)


TEXTS = [
    "Hello, world!", "", " ", "   three spaces", "tabs\tand\nnewlines\r\n\n", "1234567890", "3.14159 and -42", "naïve café",
    "Grüße aus Köln", "日本語のテキスト", "Привет, мир", "😀 emoji 👩‍👩‍👧‍👦 family", "a\u0301 combining", "<|end|> in text",
    "<|user|>Hi<|end|>", "<tool_call>\n{}\n</tool_call>", "it's we're they'll I'd", "CamelCaseWord snake_case_word",
    "function f(x) { return x * 2; }", "https://example.com/a?b=c&d=%20", "\u00a0nbsp", "x" * 100, "\u200bzero width",
    "The code of Mila is 4821.", "don't", "ﬁ ligature", "½ ⅓", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\ufffd replacement", "a  b   c    d",
]


def rendered_chats(tokenizer):
    listed = [tools.weather(random.Random(1))[0], tools.calculator(random.Random(2))[0],
              {"type": "function", "function": {"name": "now"}}]
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    system, hi = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi!"}
    hello, ask = {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Weather in Rome?"}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    parsed = {"role": "assistant", "content": "Let me see.", "tool_calls": [
        {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}, call]}
    result = {"role": "tool", "tool_call_id": "c1", "content": '{"temperature": 20}'}
    for messages, offered, prompt in [
        ([hi], None, True), ([hi], None, False), ([system, hi], None, True), ([hi, hello, hi], None, True),
        ([system, hi, hello], None, False), ([ask], listed, True), ([system, ask], listed, True),
        ([ask, called], listed, False), ([ask, called, result], listed, True), ([ask, parsed, result, hello, hi], listed, True),
    ]:
        text = tokenizer.apply_chat_template(messages, tools=offered, add_generation_prompt=prompt, tokenize=False)
        yield {"messages": messages, "tools": offered, "add_generation_prompt": prompt, "text": text}


def main():
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    tokenizer, model = load_tokenizer(), load_model(sys.argv[1])
    write = lambda name, value: (target / name).write_text(json.dumps(value) + "\n")
    write("tokens.json", [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False)} for text in TEXTS])
    write("chats.json", list(rendered_chats(tokenizer)))
    cases, logits = zip(*generations(tokenizer, model))
    (target / "generations.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    (target / "logits.bin.gz").write_bytes(packed(np.stack(logits)))


if __name__ == "__main__":
    main()
