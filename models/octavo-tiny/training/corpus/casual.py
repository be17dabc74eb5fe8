"""What octavo-tiny can do, asked for as people type it: `what color is snow`, `2+2`, `a story about a dragon`."""

from . import skills
from .keyboard import careless
from .lexicon import ANIMALS
from .stories import article, story
from .talk import FACTS

CREATURES = ANIMALS + """
dragon robot princess pirate king lion tiger elephant monkey dinosaur unicorn wizard bee penguin kitten puppy whale shark snake
mermaid knight witch ghost giant boy girl butterfly dolphin parrot
""".split()


def fact(rng):
    asks, answer = rng.choice(FACTS)
    ask = rng.choice(asks)
    if rng.random() < 0.25:
        for beginning in ("What is the ", "Tell me the ", "Which city is the "):
            ask = ask.removeprefix(beginning)
    elif rng.random() < 0.2:
        ask = ask.replace("What is", rng.choice(["What's", "Whats"]))
    return careless(rng, ask.replace("colour", "color"), slips=0.08), answer


def addition(rng):
    a, b = skills.summands(rng)
    ask = rng.choice([
        f"{a}+{b}", f"{a} + {b}", f"{a}+{b}=", f"{a}+{b}?", f"{a} + {b} =", f"{a}+{b}=?", f"what is {a}+{b}", f"what is {a} + {b}",
        f"What's {a} + {b}?", f"whats {a}+{b}", f"What is {a}+{b}?", f"{a} plus {b}", f"what is {a} plus {b}", f"add {a} and {b}",
        f"calculate {a}+{b}", f"how much is {a}+{b}?", f"What is {a} plus {b}?", f"Can you add {a} and {b}?", f"compute {a} + {b}",
    ])
    return ask, f"{a} + {b} = {a + b}"


def counting(rng):
    end = rng.randint(3, 20)
    ask = rng.choice([f"Count to {end}.", f"Can you count to {end}?", f"Please count to {end}.", f"Count from 1 to {end}."])
    return careless(rng, ask, slips=0.0, phrases=0.0), ", ".join(str(i) for i in range(1, end + 1))


STORY_ASKS = [
    "Tell me a story.", "Story", "A story", "Write a story.", "Can you tell me a story?", "Tell a story.", "Write me a story.",
    "Tell me a short story.", "Another story", "Once upon a time", "Story please", "I want a story.", "Read me a story.", "A short story",
    "Give me a story.", "Tell me another story.", "Do you know a story?", "Make up a story.", "Bedtime story", "I want to hear a story.",
    "Stories", "Tell me stories.",
]
STORY_ABOUT = [
    "Tell me a story about {}.", "Write a story about {}.", "A story about {}", "Story about {}", "Write a short story about {}.",
    "Can you tell me a story about {}?", "I want a story about {}.", "Tell me a short story about {}.", "Write me a story about {}.",
]


def ask_story(rng):
    if rng.random() < 0.4:
        return careless(rng, rng.choice(STORY_ASKS)), story(rng)
    creature = rng.choice(CREATURES)
    ask = rng.choice(STORY_ABOUT).format(f"{article(creature)} {creature}")
    return careless(rng, ask, slips=0.05), story(rng, creature)


def small_letters(rng):
    """A skill's request that begins with a small letter."""
    ask, answer = rng.choice([skills.copying, skills.counting, skills.reversing, skills.json_object])(rng)
    return ask[0].lower() + ask[1:], answer
