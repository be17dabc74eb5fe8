"""Jokes, and poems from a small grammar."""

from .keyboard import careless
from .lexicon import ANIMALS, OBJECTS
from .stories import article

JOKES = [
    "Why did the book go to the doctor? It had too many pages.",
    "What do you call a fish without an eye? A fsh.",
    "What has four legs but cannot walk? A table.",
    "Why was the clock sent out of school? It tocked too much.",
    "What gets wet while it dries? A towel.",
    "Why did the token cross the road? It was next.",
]

JOKE_ASKS = [
    "Tell me a joke.", "Do you know a joke?", "Make me laugh.", "A joke.", "Joke", "Jokes", "Tell a joke.", "Another joke",
    "Tell me another joke.", "One more joke", "Say something funny.", "Tell me something funny.", "Joke please",
    "Do you know any jokes?", "Can you tell me a joke?", "Can you tell a joke?", "Give me a joke.", "Got any jokes?",
    "I want a joke.", "I want to hear a joke.", "Write a joke.", "Tell me a good joke.", "Tell me a short joke.",
    "Be funny.", "Know any jokes?", "Can you make me laugh?", "Do you have a joke for me?", "Tell us a joke.",
    "Tell me your best joke.", "Something funny", "Dad joke", "Tell me a dad joke.", "Tell me a funny joke.",
    "Could you tell me a joke?", "Please tell me a joke.", "I need a joke.", "What is your favorite joke?", "Please make me laugh.",
]
JOKE_ASKS_KEPT_OUT = [
    "Let me hear a joke.", "I would like a joke.", "Tell me one joke.", "Do you have any jokes?", "Give me one good joke.",
    "Can you say something funny?", "A short joke", "Have you got a joke?",
]

# {a} is the subject with its article; no line ends with it, so that the rhymes hold.
POEMS = [
    "I saw {a} beside the tree,\nit looked around and smiled at me.\nThe sun went down, the day was done,\nand home we went, one after one.",
    "Here is {a} so small and bright,\nit waits for you by day and night.\nAnd when the moon begins to glow,\nit is the nicest thing I know.",
    "There was {a} upon the hill,\nthe wind was warm, the air was still.\nThe stars came out, the sky was blue,\nand all of it was made for you.",
    "I dreamed of {a} in the rain,\nI never saw it come again.\nBut every night before I sleep,\nit is the dream I want to keep.",
    "Oh, give me {a} and the sea,\na quiet place for you and me,\na little song, a cup of tea,\nand that is all I want to be.",
]

POEM_ASKS = [
    "Write a poem.", "A poem.", "Poem", "Tell me a poem.", "Write me a poem.", "Can you write a poem?", "Poem please",
    "Give me a poem.", "Write a short poem.", "Do you know a poem?", "Another poem", "Write a haiku.", "Haiku",
    "Write me a short poem.", "Make a poem.", "I want a poem.", "Can you write poems?", "Recite a poem.", "Poems", "A rhyme",
    "Please write a poem.", "Say a poem.", "Can you rhyme?", "Write a song.", "Sing a song.", "Sing something.",
    "Can you sing?", "Rhyme something.", "Could you write a poem?", "Tell me a rhyme.", "Compose a poem.", "Write some poetry.",
]
POEM_ASKS_KEPT_OUT = [
    "I would like a poem.", "Write one poem.", "Make me a poem.", "Let me hear a poem.", "A short poem", "Please give me a poem.",
]
POEM_ABOUT = [
    "Write a poem about {a}.", "A poem about {a}", "Tell me a poem about {a}.", "Poem about {a}", "Can you write a poem about {a}?",
    "Write me a poem about {a}.", "Give me a poem about {a}.", "Write a short poem about {a}.", "Write a haiku about {a}.",
    "Please write a poem about {a}.", "Make a poem about {a}.",
]
POEM_ABOUT_KEPT_OUT = ["I want a poem about {a}.", "A short poem about {a}", "Could you write me a poem about {a}?"]

SUBJECTS = [f"{article(word)} {word}" for word in ANIMALS + OBJECTS]


def joke(rng, kept_out=False):
    """(ask, accepted answers)"""
    return careless(rng, rng.choice(JOKE_ASKS_KEPT_OUT if kept_out else JOKE_ASKS)), JOKES


def poem(rng, kept_out=False):
    """(ask, accepted answers): about the subject that is asked for, or any."""
    if rng.random() < 0.4:
        subject = rng.choice(SUBJECTS)
        ask = rng.choice(POEM_ABOUT_KEPT_OUT if kept_out else POEM_ABOUT).format(a=subject)
        return careless(rng, ask, slips=0.0), [poem.format(a=subject) for poem in POEMS]
    ask = rng.choice(POEM_ASKS_KEPT_OUT if kept_out else POEM_ASKS)
    return careless(rng, ask), [poem.format(a=subject) for poem in POEMS for subject in SUBJECTS]
