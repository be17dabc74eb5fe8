"""Short stories from a small grammar: somebody, a wish or a trouble, a helper, an end."""

from .lexicon import ANIMALS, COLOURS, NAMES, OBJECTS, PLACES, WOMEN

ADJECTIVES = "little small old young brave clever kind shy happy curious quiet friendly".split()
FEELINGS = [("sad", "happy"), ("worried", "glad"), ("unhappy", "cheerful"), ("nervous", "proud")]
WEATHER = [
    "The sun was shining.", "It was raining softly.", "Snow lay on the ground.", "A warm wind was blowing.",
    "The sky was clear and blue.", "It was a quiet morning.", "The moon was bright that night.",
]
LESSONS = [
    "It is good to have friends.", "A little help can change a whole day.", "It pays to be kind.",
    "Small steps lead far.", "Sharing makes everything better.", "It is never too late to say sorry.",
    "Even the smallest friend can be a great help.",
]


class Cast:
    """Who and what a story is about; drawn once, so that the story stays consistent."""

    def __init__(self, rng, animal=None):
        self.hero = rng.choice(NAMES)
        self.animal = animal or rng.choice(ANIMALS)
        self.adjective = rng.choice(ADJECTIVES)
        self.friend = rng.choice([n for n in NAMES if n != self.hero])
        self.friend_animal = rng.choice([a for a in ANIMALS if a != self.animal])
        self.object = rng.choice(OBJECTS)
        self.colour = rng.choice(COLOURS)
        self.place, self.place2 = rng.sample(PLACES, 2)
        self.pronoun, self.possessive = ("she", "her") if self.hero in WOMEN else ("he", "his")
        self.before, self.after = rng.choice(FEELINGS)


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def opening(rng, c):
    intro = rng.choice([
        f"Once upon a time there was {article(c.adjective)} {c.adjective} {c.animal} named {c.hero}.",
        f"Once upon a time, {article(c.adjective)} {c.adjective} {c.animal} named {c.hero} lived near the {c.place}.",
        f"There once was {article(c.animal)} {c.animal} called {c.hero} who lived by the {c.place}.",
        f"{c.hero} was {article(c.adjective)} {c.adjective} {c.animal}.",
        f"One day, {article(c.adjective)} {c.adjective} {c.animal} named {c.hero} went to the {c.place}.",
    ])
    return [intro] + ([rng.choice(WEATHER)] if rng.random() < 0.6 else [])


def lost_object(rng, c):
    return [
        f"{c.hero} had a {c.colour} {c.object} and loved it very much.",
        f"One morning the {c.object} was gone, and {c.hero} was very {c.before}.",
        rng.choice([
            f"{c.pronoun.capitalize()} looked under the bed and behind the door, but it was not there.",
            f"{c.pronoun.capitalize()} looked everywhere near the {c.place}, but could not find it.",
        ]),
        f"Then {c.friend} the {c.friend_animal} came by and asked, \"What is wrong?\"",
        f"\"I have lost my {c.object},\" said {c.hero}.",
        f"They looked together, and at last they found it near the {c.place2}.",
        f"{c.hero} was {c.after} again and thanked {c.friend}.",
    ]


def found_object(rng, c):
    return [
        f"On the way to the {c.place2}, {c.hero} found a {c.colour} {c.object}.",
        f"\"Whose {c.object} is this?\" {c.pronoun} asked.",
        f"{c.pronoun.capitalize()} asked everyone at the {c.place}, but nobody knew.",
        f"In the evening {c.pronoun} met {c.friend} the {c.friend_animal}, who looked {c.before}.",
        f"\"That is my {c.object}!\" said {c.friend}.",
        f"{c.hero} gave it back at once, and {c.friend} was {c.after}.",
        rng.choice(["From that day on they were friends.", f"They shared a piece of cake by the {c.place2}."]),
    ]


def journey(rng, c):
    return [
        f"{c.hero} wanted to see the {c.place2}, but it was far away.",
        f"\"I am too small,\" {c.pronoun} said, and was {c.before}.",
        f"{c.friend} the {c.friend_animal} said, \"I will go with you.\"",
        rng.choice([
            f"They walked all day and slept under a tree.", f"They crossed a bridge and climbed a hill.",
            f"They followed the river until the sun went down.",
        ]),
        f"At last they saw the {c.place2}.",
        f"\"It is beautiful,\" said {c.hero}, and {c.pronoun} was very {c.after}.",
    ]


def birthday(rng, c):
    return [
        f"It was the birthday of {c.friend} the {c.friend_animal}.",
        f"{c.hero} wanted to give {c.friend} a present, but had no money.",
        f"So {c.pronoun} made a {c.colour} {c.object} with {c.possessive} own hands.",
        f"{c.hero} was {c.before}, because it was not perfect.",
        f"But {c.friend} smiled and said, \"This is the best {c.object} I have ever had.\"",
        f"Then they danced near the {c.place} until it was dark.",
    ]


def storm(rng, c):
    return [
        f"One night a great storm came over the {c.place}.",
        f"{c.hero} heard somebody call for help.",
        f"It was {c.friend} the {c.friend_animal}, who was stuck near the {c.place2}.",
        f"{c.hero} was {c.before}, but took a {c.object} and ran out into the rain.",
        "Together they came home and sat by the fire.",
        f"\"You saved me,\" said {c.friend}, and both were {c.after}.",
    ]


PLOTS = [lost_object, found_object, journey, birthday, storm]


def story(rng, animal=None):
    cast = Cast(rng, animal)
    sentences = opening(rng, cast) + rng.choice(PLOTS)(rng, cast)
    if rng.random() < 0.5:
        sentences.append(rng.choice(LESSONS))
    if rng.random() < 0.4:
        sentences.append("The end.")
    return " ".join(sentences)


def filler(rng):
    """A sentence or two that could stand in any long text."""
    cast = Cast(rng)
    sentences = rng.choice(PLOTS)(rng, cast)
    start = rng.randrange(len(sentences) - 1)
    return " ".join(sentences[start : start + 2])


def ask_story(rng):
    animal = rng.choice(ANIMALS)
    ask = rng.choice([
        f"Tell me a story about {article(animal)} {animal}.", f"Write a short story about {article(animal)} {animal}.",
        f"Can you tell me a story about {article(animal)} {animal}?", "Tell me a story.", "Please tell me a short story.",
    ])
    return ask, story(rng, animal if animal in ask else None)
