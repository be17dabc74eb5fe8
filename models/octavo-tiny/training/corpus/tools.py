"""Tool calls: a system turn that lists tools, the call, its result, and the answer that uses it."""

import json

from .lexicon import CITIES, NAMES, OBJECTS, random_word
from .talk import fact, small_talk

NOUNS = "price size weight height age owner status colour score speed length rating stock level temperature".split()


def tool(name, description, /, **parameters):
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "properties": {key: {"type": kind} for key, kind in parameters.items()},
                       "required": list(parameters)}}}


def weather(rng):
    city, degrees = rng.choice(CITIES), rng.randint(-9, 39)
    sky = rng.choice(["sunny", "cloudy", "rainy", "windy"])
    ask = rng.choice([f"What is the weather in {city}?", f"How is the weather in {city}?", f"Is it warm in {city}?",
                      f"What's the weather like in {city} today?", f"Weather in {city}?"])
    key = rng.choice(["city", "location"])
    return (tool("get_weather", "Get the weather in a city", **{key: "string"}), ask, {key: city},
            {"temperature": degrees, "sky": sky}, f"It is {degrees} degrees and {sky} in {city}.")


def clock(rng):
    city, time = rng.choice(CITIES), f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    ask = rng.choice([f"What time is it in {city}?", f"Tell me the time in {city}."])
    return (tool("get_time", "Get the time in a city", city="string"), ask, {"city": city}, {"time": time},
            f"It is {time} in {city}.")


def calculator(rng):
    a, b = rng.randint(100, 999), rng.randint(100, 999)
    name, sign, result = rng.choice([("add", "+", a + b), ("multiply", "*", a * b), ("subtract", "-", a - b)])
    ask = rng.choice([f"What is {a} {sign} {b}?", f"Compute {a} {sign} {b}."])
    return (tool(name, f"{name.capitalize()} two numbers", a="number", b="number"), ask, {"a": a, "b": b},
            {"result": result}, f"{a} {sign} {b} is {result}.")


def message(rng):
    to = rng.choice(NAMES)
    text = rng.choice(["I am late", "see you soon", "happy birthday", "dinner is ready", "call me back", "good luck"])
    ask = rng.choice([f"Send {to} the message: {text}", f"Tell {to}: {text}"])
    return (tool("send_message", "Send a message to somebody", to="string", text="string"), ask,
            {"to": to, "text": text}, {"status": "sent"}, f"I have sent the message to {to}.")


def search(rng):
    topic = rng.choice(OBJECTS) + " " + rng.choice(["repair", "history", "shop", "music"])
    hits = rng.randint(1, 99)
    ask = rng.choice([f"Search for {topic}.", f"Please search for {topic}."])
    return (tool("search", "Search the web", query="string"), ask, {"query": topic}, {"hits": hits},
            f"I found {hits} results for {topic}.")


def lookup(rng):
    """A tool with a made-up name: the call must be read off its signature."""
    noun = rng.choice(NOUNS) if rng.random() < 0.6 else random_word(rng, 4, 6)
    subject = rng.choice(OBJECTS + NAMES) if rng.random() < 0.6 else random_word(rng, 4, 6)
    key = rng.choice(["item", "name", "id", "subject", random_word(rng, 3, 5)])
    name = rng.choice(["get_", "find_", "read_", "fetch_"]) + noun
    value = rng.choice([rng.randint(1, 999), rng.choice(["high", "low", "good", "old", "new"])])
    ask = rng.choice([f"What is the {noun} of {subject}?", f"Tell me the {noun} of {subject}."])
    return (tool(name, f"Get the {noun} of something", **{key: "string"}), ask, {key: subject}, {noun: value},
            f"The {noun} of {subject} is {value}.")


MAKERS = [weather, weather, clock, calculator, message, search, lookup, lookup, lookup]


def tool_call_text(name, arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def tool_session(rng):
    """
    Returns (tools, turns); a turn is (role, text). One or two calls, or a plain question that needs no tool.
    """
    first = rng.choice(MAKERS)(rng)
    offered = {first[0]["function"]["name"]: first[0]}
    for _ in range(rng.randint(0, 2)):
        other = rng.choice(MAKERS)(rng)[0]
        offered.setdefault(other["function"]["name"], other)
    tools = list(offered.values())
    rng.shuffle(tools)
    turns = []
    if rng.random() < 0.25:
        ask, answer = rng.choice([fact, small_talk])(rng)
        turns += [("user", ask), ("assistant", answer)]
    definition, ask, arguments, result, answer = first
    turns += [
        ("user", ask), ("assistant", tool_call_text(definition["function"]["name"], arguments)),
        ("tool", json.dumps(result)), ("assistant", answer),
    ]
    if rng.random() < 0.25:
        ask, answer = rng.choice([fact, small_talk])(rng)
        turns += [("user", ask), ("assistant", answer)]
    return tools, turns
