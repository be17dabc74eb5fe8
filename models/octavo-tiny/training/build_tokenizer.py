"""Trains the byte-level BPE tokenizer on generated text and writes tokenizer.json beside the model."""

import random
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from corpus import stories, tools
from corpus.conversation import BOS, SPECIAL_TOKENS, describe_tools
from corpus.mixture import FIRST_STAGE_TURNS, SYSTEM_PROMPTS
from corpus.recall import KINDS, statement, value_of
from corpus.lexicon import NAMES, random_word

MODEL_DIR = Path(__file__).parent.parent
VOCAB_SIZE = 2048
# Hermes' marks of a tool call. Not special: they are text that a client may see.
MARKS = ["<tool_call>", "</tool_call>"]


def corpus(seed=11, documents=30_000):
    rng = random.Random(seed)
    yield from SYSTEM_PROMPTS
    for _ in range(documents):
        yield stories.story(rng)
        for task, _ in FIRST_STAGE_TURNS:
            yield "\n".join(task(rng))
        yield random_word(rng) + " " + random_word(rng).capitalize()
        yield f"What is the {rng.choice(KINDS)} of {rng.choice(NAMES)}? {statement('code', rng.choice(NAMES), value_of(rng))}"
        listed, turns = tools.tool_session(rng)
        yield describe_tools(listed)
        for _, text in turns:
            yield text


def main():
    tokenizer = Tokenizer(models.BPE())
    # Digits stand alone, so that 47 and 74 share their parts and a sum can be learned digit by digit.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(MARKS), special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens([AddedToken(mark, normalized=False) for mark in MARKS])
    # A prompt that is not a chat begins a text, as in training. Chats bring their own mark with the template.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", pair="<|bos|> $A $B", special_tokens=[("<|bos|>", BOS)]
    )
    tokenizer.save(str(MODEL_DIR / "tokenizer.json"))
    print(f"{tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
