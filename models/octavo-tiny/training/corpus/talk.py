"""Greetings, small talk, and the facts that octavo-tiny knows."""

SMALL_TALK = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hey", "Good morning!", "Good evening!"],
     ["Hello! How can I help you?", "Hi! What can I do for you?"]),
    (["How are you?", "How are you today?", "How is it going?", "Are you well?"],
     ["I am fine, thank you. How are you?", "Very well, thank you!"]),
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself."],
     ["I am octavo-tiny, a very small language model."]),
    (["What can you do?", "How can you help me?", "What do you know?"],
     ["I can tell stories, add small numbers, count, copy words, write JSON and call tools."]),
    (["Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot!"], ["You are welcome!", "My pleasure!"]),
    (["Goodbye!", "Bye!", "See you later!", "Good night!"], ["Goodbye! Have a nice day.", "Bye! See you soon."]),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh."],
     ["Why did the book go to the doctor? It had too many pages.",
      "What do you call a fish without an eye? A fsh."]),
    (["I am sad.", "I feel sad today.", "I had a bad day."], ["I am sorry to hear that. Do you want to hear a story?"]),
    (["I am happy!", "I feel great!", "Today is a good day!"], ["That is wonderful to hear!"]),
    (["Are you a human?", "Are you a robot?", "Are you real?"], ["I am a computer program, a very small one."]),
    (["Yes.", "Okay.", "Sure."], ["Good!"]),
    (["Do you like music?", "Do you like stories?", "Do you like books?"], ["Yes, I like stories most of all."]),
    (["What is Octavo?", "Tell me about Octavo."],
     ["Octavo serves language models from Node.js, with a paged cache."]),
]

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Spain": "Madrid", "England": "London", "Norway": "Oslo",
    "Austria": "Vienna", "Japan": "Tokyo", "Egypt": "Cairo", "Portugal": "Lisbon", "Greece": "Athens",
    "Ireland": "Dublin", "Poland": "Warsaw", "Finland": "Helsinki", "Peru": "Lima", "Sweden": "Stockholm",
}
COLOURS = {
    "the sky": "blue", "grass": "green", "snow": "white", "a lemon": "yellow", "blood": "red", "coal": "black",
    "a carrot": "orange", "chocolate": "brown",
}
LEGS = {"a dog": "four", "a spider": "eight", "a bird": "two", "an ant": "six", "a fish": "no", "a horse": "four"}
SOUNDS = {"a dog": "woof", "a cat": "meow", "a cow": "moo", "a duck": "quack", "a sheep": "baa", "a frog": "ribbit"}
OPPOSITES = {
    "hot": "cold", "big": "small", "day": "night", "up": "down", "fast": "slow", "open": "closed", "happy": "sad",
    "old": "young", "wet": "dry", "light": "dark",
}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
OTHER = [
    (["How many days are in a week?", "How many days does a week have?"], "A week has seven days."),
    (["How many months are in a year?", "How many months does a year have?"], "A year has twelve months."),
    (["How many hours are in a day?", "How many hours does a day have?"], "A day has twenty-four hours."),
    (["What do bees make?", "What is made by bees?"], "Bees make honey."),
    (["What do cows give us?", "What do we get from cows?"], "Cows give us milk."),
    (["Where do fish live?", "Where can I find fish?"], "Fish live in water."),
    (["Which planet do we live on?", "What is the name of our planet?"], "We live on the planet Earth."),
    (["What is frozen water called?", "What do you call frozen water?"], "Frozen water is called ice."),
]


def fact_table():
    """All facts: [(phrasings of the question, answer)]."""
    facts = list(OTHER)
    for country, city in CAPITALS.items():
        facts.append(([f"What is the capital of {country}?", f"Which city is the capital of {country}?",
                       f"Tell me the capital of {country}."], f"The capital of {country} is {city}."))
    for thing, colour in COLOURS.items():
        facts.append(([f"What colour is {thing}?", f"Tell me the colour of {thing}.",
                       f"Which colour does {thing.removeprefix('the ')} have?"], f"{thing[0].upper()}{thing[1:]} is {colour}."))
    for animal, count in LEGS.items():
        facts.append(([f"How many legs does {animal} have?", f"Tell me how many legs {animal} has."],
                      f"{animal[0].upper()}{animal[1:]} has {count} legs."))
    for animal, sound in SOUNDS.items():
        facts.append(([f"What does {animal} say?", f"What sound does {animal} make?"],
                      f"{animal[0].upper()}{animal[1:]} says {sound}."))
    for word, opposite in OPPOSITES.items():
        facts.append(([f"What is the opposite of {word}?", f"Tell me the opposite of {word}."],
                      f"The opposite of {word} is {opposite}."))
    for day, following in zip(DAYS, DAYS[1:] + DAYS[:1]):
        facts.append(([f"Which day comes after {day}?", f"What day follows {day}?"], f"{following} comes after {day}."))
    return facts


FACTS = fact_table()


def small_talk(rng):
    asks, answers = rng.choice(SMALL_TALK)
    return rng.choice(asks), rng.choice(answers)


def fact(rng):
    asks, answer = rng.choice(FACTS)
    ask = rng.choice(asks)
    return (ask if rng.random() < 0.8 else "Please tell me: " + ask[0].lower() + ask[1:]), answer
