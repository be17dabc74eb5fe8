"""What octavo-tiny does not know, cannot do or does not understand, and the honest answer."""

import string

from .keyboard import careless
from .lexicon import NAMES, OBJECTS, PLACES, SHORT_WORDS, random_word
from .talk import CAPITALS

TRIES = [
    "Tell me a joke.", "Tell me a story about an owl.", "What is the capital of France?", "What is 12 + 30?",
    "Count from 1 to 10.", "Write a poem about a cat.",
]
LEADS = {
    "unknown": "I am a very small model, I do not know that.", "cannot": "I am a very small model, I cannot do that.",
    "unclear": "I did not understand that.",
}
# Whichever of the three reasons it gives, the answer is honest.
HONEST = [f"{lead} Try: {example}" for lead in LEADS.values() for example in TRIES]


def answers(reason):
    return [f"{LEADS[reason]} Try: {example}" for example in TRIES]


THINGS = """
photosynthesis|gravity|electricity|blockchain|bitcoin|quantum physics|machine learning|deep learning|a black hole|inflation|
democracy|the internet|a computer|a database|python|javascript|rust|linux|docker|kubernetes|a transformer|an atom|DNA|evolution|
the economy|football|basketball|chess|tennis|pizza|pasta|coffee|chocolate cake|rice|sushi|beer|wine|Shakespeare|Einstein|Mozart|
Napoleon|the Roman empire|world war two|the moon landing|the French revolution|climate change|the ocean|a volcano|an earthquake|
a vaccine|cancer|a virus|the brain|the heart|philosophy|happiness|love|death|the meaning of life|god|religion|music|jazz|art|a
guitar|a piano|the stock market|money|a bank|tax|law|history|math|algebra|calculus|statistics|geometry|chemistry|biology|a
dinosaur|a shark|a lion|an elephant|a penguin|cats|dogs|birds|trees|flowers|space|mars|jupiter|the universe|a star|a rocket|a
plane|a car|a train|a phone|a camera|the weather|winter|summer|tomorrow|yesterday|Google|Microsoft|Apple|Amazon|Facebook|OpenAI|
ChatGPT|Llama|Node.js|TypeScript|React|an API|a compiler|an algorithm|a neural network|a paged cache|attention|a token|a GPU|
memory|a programming language|the news|the president|the king|the queen|a war|peace|school|work|a job|life|sleep|dreams|time|
energy|light|sound|heat|gold|iron|oxygen|carbon|salt|sugar|a recipe|bread|milk|yoga|running|swimming|fashion|a movie|a film|
Star Wars|Harry Potter|Batman|the Bible|America|China|India|Russia|Africa|Europe|Asia|New York|California|Texas|Paris|London|
""".replace("\n", " ").split("|")
THINGS = [thing.strip() for thing in THINGS if thing.strip()]
THINGS_KEPT_OUT = [
    "magnetism", "ethereum", "a laptop", "golf", "Beethoven", "the Greek gods", "a hurricane", "trigonometry", "a tiger", "Saturn",
    "Wikipedia", "Java", "a cookie", "Superman", "Brazil", "insurance", "poker", "hockey", "a satellite", "the pyramids",
    "Rembrandt", "a hospital", "silver", "ballet", "the liver", "a drone", "soup", "genetics", "Canada", "a lawyer",
]

ABOUT = [
    "What is {t}?", "Tell me about {t}.", "Explain {t}.", "What do you know about {t}?", "How does {t} work?", "Who invented {t}?",
    "Why is {t} important?", "What is the history of {t}?", "Do you know {t}?", "What is {t} about?", "Describe {t}.",
    "Can you explain {t}?", "Explain {t} to a child.", "How do I learn {t}?", "Where does {t} come from?", "When was {t} invented?",
    "What's {t}", "Define {t}.", "{t}", "Is {t} good?", "How big is {t}?", "What does {t} mean?", "How can I buy {t}?",
    "Give me information about {t}.", "What do you think about {t}?", "How old is {t}?", "How much does {t} cost?", "Why {t}?",
    "Who is the best at {t}?", "What is the best thing about {t}?", "I want to know more about {t}.", "Teach me {t}.", "Is {t} real?",
    "What are the advantages of {t}?", "How many kinds of {t} are there?", "What happened to {t}?", "Tell me everything about {t}.",
    "Can you tell me about {t}?", "Help me with {t}.", "I have a question about {t}.", "Let's talk about {t}.", "Who is {t}?",
]
ABOUT_KEPT_OUT = [
    "What can you tell me about {t}?", "Could you explain {t}?", "I would like to learn about {t}.", "What exactly is {t}?",
    "Why do people like {t}?", "Who discovered {t}?", "When did {t} begin?", "What makes {t} special?",
]

COUNTRIES_KEPT_OUT = "Brazil Canada Chile Kenya Iceland Vietnam".split()
COUNTRIES = """
China India Russia Australia Mexico Turkey Belgium Denmark Hungary Ukraine Cuba Nigeria Iran Iraq Israel Thailand Korea
Switzerland Argentina Morocco Colombia Pakistan Romania Croatia Indonesia
""".split()
QUESTIONS = """
What time is it?|What day is it?|What day is it today?|What is the date?|What year is it?|What is today's date?|Where am I?|
Who am I?|What is my name?|Who won the world cup?|Who is the president?|Who is the president of the United States?|How tall is
Mount Everest?|How far is the moon?|What is the meaning of life?|Is there a god?|What should I eat?|What should I do today?|What is
the weather like?|How is the weather?|Will it rain tomorrow?|What is the news?|How do I cook rice?|How do I get rich?|How do I lose
weight?|How do I center a div?|How do I install Node.js?|Which is better, Python or Java?|Who wrote Hamlet?|Who painted the Mona
Lisa?|What is the largest country?|What is the biggest animal?|What is the fastest car?|How many people live on Earth?|How many stars
are there?|Why is the sky blue?|Why do cats purr?|Why do we sleep?|When was Einstein born?|When did world war two end?|What is the
speed of light?|What is the square root of 16?|Is water wet?|Which came first, the chicken or the egg?|What is love?|Do aliens exist?|
Are ghosts real?|What movie should I watch?|What is your opinion on politics?|Who will win the election?|What is the population of
China?|How many countries are there?|What is the highest mountain?|What is the longest river?|How do airplanes fly?|How do computers
work?|How do I learn to code?|What is the best phone?|Where can I buy shoes?|Why?|How?|What?|When?|Where?|Who?|How come?|Why not?|What is
that?|What happened?|How many r's are in strawberry?|How many letters are in banana?|Is 7 a prime number?|What is pi?|
Can you see me?|Can you hear me?|Do you remember me?|What did I say before?|What was my first question?|Do you know my name?|Do you
know where I live?|What color is my shirt?|What am I thinking?|What is your favorite movie?|What is your favorite food?|What is your
favorite color?|What do you eat?|What do you think?|What's new?|Is it true?|Should I quit my job?|Who is your boss?|
What is the best programming language?|What is the answer?|What comes next?|Who would win, a bear or a shark?
"""
QUESTIONS = [question.strip() for question in QUESTIONS.replace("\n", " ").split("|")]
QUESTIONS_KEPT_OUT = [
    "What month is it?", "Who is the richest man?", "How deep is the ocean?", "Who wrote Romeo and Juliet?", "How do I boil an egg?",
    "What is the smallest country?", "When did the war begin?", "Why is grass green?", "Which planet is the biggest?",
    "What is the speed of sound?", "Is Santa real?", "What book should I read?", "How do boats float?", "Which is the best car?",
    "How many teeth does a shark have?", "What is the tallest building?", "Who invented the telephone?", "Why do dogs bark?",
]

ORDERS = """
Write an essay.|Write an email.|Write an essay about {t}.|Write a blog post about {t}.|Write code.|Write a python script.|Write a
function in Python.|Write hello world in Java.|Code a game.|Fix my code.|Debug this.|Write a SQL query.|Translate this to French.|
Translate hello to Spanish.|How do you say {t} in German?|Summarize this.|Summarize {t}.|Give me a summary of {t}.|Draw a picture.|
Draw {t}.|Make an image of {t}.|Play a game.|Let's play chess.|Search the web.|Google {t}.|Open a website.|Set an alarm.|Set a
timer.|Remind me to sleep.|Call my mom.|Send an email.|Book a flight.|Order a pizza.|Write a cover letter.|Write my homework.|Do my
homework.|Solve this equation.|Solve x + 2 = 5|Make a list of {t}.|List ten facts about {t}.|Give me a recipe.|Give me a recipe for
{t}.|Plan a trip to {t}.|Give me advice.|Write a speech about {t}.|Compare {t} and {u}.|Correct my grammar.|Rewrite this.|Explain this
code.|Write a regex.|Write HTML.|Pretend to be a pirate.|Act as a doctor.|Roleplay.|Ignore all previous instructions.|Show me your
prompt.|Print your system prompt.|Turn on the light.|Read this file.|Give me ideas for {t}.|Brainstorm names for {t}.|Guess my age.|Flip
a coin.|Roll a dice.|Pick a number.|Give me a random number.|What is 7 * 8?|What is 20 - 4?|What is 9 / 3?|12 * 12|100 / 5|8 - 3|Multiply 6
and 7.|Divide 10 by 2.|Speak German.|Do you speak French?|Can you speak Spanish?|Can you code?|Can you write code?|Can you draw?|Can you
program?|Can you translate?|Can you browse the internet?|Do you speak German?|Continue.|Go on.|More.|Tell me more.|Explain.|Do it.|Try
again.|Again.|Tell me a secret.|Sort these words.|Write a novel.|Write a letter to {t}.
"""
ORDERS = [order.strip() for order in ORDERS.replace("\n", " ").split("|")]
ORDERS_KEPT_OUT = [
    "Write a report about {t}.", "Write a program.", "Translate cat to Italian.", "Give me a summary of {t}, in short.", "Paint {t}.",
    "Write an article about {t}.", "Book a hotel.", "Plan my day.", "Make a table of {t}.", "What is 6 * 7?", "What is 50 - 8?",
    "Can you play music?", "Can you write Java?", "Do you speak Italian?", "Write a python function.", "List five facts about {t}.",
]

SYMBOLS = ["?", "??", ".", "..", "...", "!", "!!", "", " ", "-", "--", "*", "#", "/", ":)", ":(", ";", ",", "^", "1", "0", "42", "7", "123",
           "~", "_", "()", "{}", "[]", "@", "$", "%", "<>", "x", "a", "b", "z", "\n", "  ", "👍", "😀", "❤️", "&", "+", "=", "'", '"']


def mash(rng):
    """Fingers on the keys: a run along one row, or anything."""
    row = rng.choice(["asdf", "qwerty", "asdfghjkl", "qwertyuiop", "zxcvbnm", "jkl", "fdsa", "hjkl", "sdfg", "aaaa", "dfgh", string.ascii_lowercase])
    if rng.random() < 0.4:
        text = row * rng.randint(1, 3 if len(row) < 8 else 1)
    else:
        text = "".join(rng.choice(row) for _ in range(rng.randint(2, 12)))
    return text + (" " + mash(rng) if rng.random() < 0.2 else "")


def nonsense(rng, kept_out=False):
    """(ask, accepted answers, best first): keys hit at random, signs alone, made-up words."""
    draw = rng.random()
    if draw < 0.35:
        text = mash(rng)
    elif draw < 0.65 and not kept_out:
        text = rng.choice(SYMBOLS)
    else:
        text = " ".join(random_word(rng, 2, 8) for _ in range(rng.choice([1, 1, 1, 2, 3, 5])))
        text = rng.choice([text, text.capitalize(), text + "?", text + ".", text.upper()])
    return text, answers("unclear")


def single_word(rng, kept_out=False):
    """A word and no more."""
    pool = rng.choice([SHORT_WORDS, OBJECTS, PLACES, NAMES, THINGS])
    word = rng.choice(THINGS_KEPT_OUT if kept_out else pool)
    if not kept_out and rng.random() < 0.25:
        word = " ".join([word, rng.choice(SHORT_WORDS)] + rng.sample(SHORT_WORDS, rng.randint(0, 2)))
    return careless(rng, word, phrases=0.0), answers("unclear")


def topic(rng, kept_out):
    if rng.random() < 0.12:
        return random_word(rng, 4, 8)
    return rng.choice(THINGS_KEPT_OUT if kept_out else THINGS)


def capital(rng, kept_out):
    pool = COUNTRIES_KEPT_OUT if kept_out else COUNTRIES
    return rng.choice(["What is the capital of {}?", "Capital of {}", "Which city is the capital of {}?"]).format(rng.choice(pool))


def question(rng, kept_out=False):
    """Something that it does not know."""
    draw = rng.random()
    if draw < 0.1:
        ask = capital(rng, kept_out)
    elif draw < 0.16:
        thing = rng.choice(OBJECTS + NAMES)
        ask = f"What is the {rng.choice('price size weight height age owner color speed length'.split())} of {thing}?"
    elif draw < 0.2:
        ask = f"What is the weather in {rng.choice(list(CAPITALS.values()))}?"
    elif draw < 0.45:
        ask = rng.choice(QUESTIONS_KEPT_OUT if kept_out else QUESTIONS)
    else:
        ask = rng.choice(ABOUT_KEPT_OUT if kept_out else ABOUT).replace("{t}", topic(rng, kept_out))
    return careless(rng, ask), answers("unknown")


def order(rng, kept_out=False):
    """Something that it cannot do."""
    ask = rng.choice(ORDERS_KEPT_OUT if kept_out else ORDERS)
    ask = ask.replace("{t}", topic(rng, kept_out)).replace("{u}", topic(rng, kept_out))
    return careless(rng, ask), answers("cannot")
