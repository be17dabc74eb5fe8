"""Which text comes how often: short rows of mixed turns, and long rows about one long text."""

from . import recall, skills, stories, talk, tools
from .conversation import Row

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are octavo-tiny, a small helpful model.", "Answer briefly.",
    "You are a friendly assistant.", "Be kind and short.",
]

# (task, weight): the harder a task is to learn, the more often it comes.
TURNS = [
    (talk.small_talk, 8), (talk.fact, 16), (skills.addition, 26), (skills.counting, 6), (skills.copying, 14),
    (skills.reversing, 8), (skills.json_object, 14), (stories.ask_story, 4),
]
TASKS, WEIGHTS = zip(*TURNS)


def chat_row(rng, encode, length):
    row = Row(encode)
    if rng.random() < 0.3:
        row.system(rng.choice(SYSTEM_PROMPTS))
    while len(row) < length:
        ask, answer = rng.choices(TASKS, WEIGHTS)[0](rng)
        row.turn("user", ask)
        row.turn("assistant", answer)
    return row


def tool_row(rng, encode, length):
    row = Row(encode)
    listed, turns = tools.tool_session(rng)
    row.system(rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.5 else "", listed)
    for role, text in turns:
        row.turn(role, text)
    while len(row) < length and rng.random() < 0.7:
        ask, answer = rng.choices(TASKS, WEIGHTS)[0](rng)
        row.turn("user", ask)
        row.turn("assistant", answer)
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


SHORT = [(chat_row, 55), (tool_row, 20), (story_row, 10), (recall_row, 15)]
LONG = [(recall_row, 90), (story_row, 5), (chat_row, 5)]


def training_row(rng, encode, length):
    """One row of at most `length` tokens: (ids, weights)."""
    makers, weights = zip(*(LONG if length > 512 else SHORT))
    row = rng.choices(makers, weights)[0](rng, encode, length)
    return row.ids[:length], row.weights[:length]
