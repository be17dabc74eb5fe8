"""
Which text comes how often: short rows of mixed turns, and long rows about one long text.

Training has three stages. The first teaches the skills. The second goes on from there with other text: conversations that
begin as people begin them, and all the skills again, so that none is lost. The third repeats what was weak after the second:
tool calls, long texts, names that people give, capitals that it does not know.
"""

from dataclasses import dataclass

from . import casual, recall, skills, stories, talk, tools
from .conversation import BOS, Row
from .first_words import first_words, foreign_capital, introducing

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are octavo-tiny, a small helpful model.", "Answer briefly.",
    "You are a friendly assistant.", "Be kind and short.",
]
MORE_SYSTEM_PROMPTS = [
    "You are a helpful assistant", "You are helpful.", "You are a helpful AI assistant.", "Be brief.", "Be concise.", "Be polite.",
    "You are a chatbot.", "You are a helpful, honest assistant.", "Answer in one sentence.", "Answer the questions of the user.",
    "You are an expert.", "You are a pirate.", "You are a teacher.", "Help the user.", "Speak English.", "Use simple words.",
    "You are an assistant that answers questions. If you do not know the answer, say so.", "You are octavo-tiny.", "Be nice.",
    "You are a helpful assistant. Answer briefly.", "Keep your answers short.", "You are ChatGPT.", "You are a bot named Max.",
]

# (task, weight): the harder a task is to learn, the more often it comes.
SKILLS = [
    (talk.fact, 16), (skills.addition, 26), (skills.counting, 6), (skills.copying, 14), (skills.reversing, 8),
    (skills.json_object, 14), (stories.ask_story, 4),
]
FIRST_STAGE_TURNS = [(talk.small_talk, 8), *SKILLS]
CASUAL = [(casual.fact, 12), (casual.addition, 8), (casual.counting, 3), (casual.ask_story, 4), (casual.small_letters, 8)]
SECOND_STAGE_TURNS = [(first_words, 22), *SKILLS, *CASUAL]
OPENINGS = [(first_words, 75), *CASUAL]
THIRD_STAGE_OPENINGS = [*OPENINGS, (introducing, 12), (foreign_capital, 6)]


def exchange(rng, row, turns):
    tasks, weights = zip(*turns)
    ask, answer = rng.choices(tasks, weights)[0](rng)
    row.turn("user", ask)
    row.turn("assistant", answer)


def chat_row(rng, encode, length, turns=FIRST_STAGE_TURNS):
    row = Row(encode)
    if rng.random() < 0.3:
        row.system(rng.choice(SYSTEM_PROMPTS))
    while len(row) < length:
        exchange(rng, row, turns)
    return row


def tool_row(rng, encode, length, turns=FIRST_STAGE_TURNS, first_words_share=0.0):
    row = Row(encode)
    listed, session = tools.tool_session(rng)
    row.system(rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.5 else "", listed)
    if first_words_share and rng.random() < first_words_share:
        exchange(rng, row, [(first_words, 1)])
    for role, text in session:
        row.turn(role, text)
    while len(row) < length and rng.random() < 0.7:
        exchange(rng, row, turns)
    return row


def second_stage_chat_row(rng, encode, length):
    return chat_row(rng, encode, length, SECOND_STAGE_TURNS)


def second_stage_tool_row(rng, encode, length):
    return tool_row(rng, encode, length, SECOND_STAGE_TURNS, first_words_share=0.2)


def opening_row(rng, encode, length, openings=OPENINGS):
    """Conversations of a few turns, one after another: each begins as people begin, most often without a system turn."""
    row = Row(encode)
    while len(row) < length:
        if rng.random() < 0.3:
            row.system(rng.choice(SYSTEM_PROMPTS + MORE_SYSTEM_PROMPTS))
        exchange(rng, row, openings)
        while rng.random() < 0.4:
            exchange(rng, row, SECOND_STAGE_TURNS)
        row.add([BOS], 0.0)
    return row


def third_stage_opening_row(rng, encode, length):
    return opening_row(rng, encode, length, THIRD_STAGE_OPENINGS)


def tool_sessions_row(rng, encode, length):
    """Sessions with tools and little else, one after another."""
    row = Row(encode)
    while len(row) < length:
        listed, session = tools.tool_session(rng)
        row.system(rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.5 else "", listed)
        for role, text in session:
            row.turn(role, text)
        row.add([BOS], 0.0)
    return row


def story_row(rng, encode, length):
    row = Row(encode)
    while len(row) < length:
        row.story(stories.story(rng))
    return row


def recall_row(rng, encode, length):
    row = Row(encode)
    if rng.random() < 0.2:
        row.system(rng.choice(SYSTEM_PROMPTS))
    questions = rng.randint(1, max(2, min(12, length // 60)))
    room = length - 30 * questions - 16
    budget = rng.randint(min(30, room), room)
    for ask, answer in recall.recall(rng, lambda text: len(encode(text)), budget, questions):
        row.turn("user", ask)
        row.turn("assistant", answer)
    return row


@dataclass(frozen=True)
class Stage:
    """(maker of a row, weight), for short rows and for those of the whole context."""

    short: list
    long: list


LONG = [(recall_row, 90), (story_row, 5), (chat_row, 5)]
STAGES = {
    1: Stage([(chat_row, 55), (tool_row, 20), (story_row, 10), (recall_row, 15)], LONG),
    2: Stage([(opening_row, 30), (second_stage_chat_row, 30), (second_stage_tool_row, 24), (story_row, 4), (recall_row, 12)], LONG),
    3: Stage([
        (third_stage_opening_row, 28), (second_stage_chat_row, 22), (second_stage_tool_row, 10), (tool_sessions_row, 28),
        (story_row, 2), (recall_row, 10),
    ], LONG),
}


def training_row(rng, encode, length, stage):
    """One row of at most `length` tokens: (ids, weights)."""
    makers, weights = zip(*(STAGES[stage].long if length > 512 else STAGES[stage].short))
    row = rng.choices(makers, weights)[0](rng, encode, length)
    return row.ids[:length], row.weights[:length]
