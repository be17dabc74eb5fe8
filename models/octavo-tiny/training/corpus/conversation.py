"""Turns of a chat as token ids with loss weights, in exactly the form that chat_template.jinja renders."""

PAD, BOS, END, SYSTEM, USER, ASSISTANT, TOOL = range(7)
SPECIAL_TOKENS = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}

# What is scored is what the assistant says; a little weight on the rest teaches the language of the questions.
WEIGHT_ANSWER, WEIGHT_PROMPT, WEIGHT_STORY = 1.0, 0.03, 0.4


def describe_tools(tools):
    """The tools as the system turn lists them: one signature a line."""
    lines = []
    for entry in tools:
        function = entry["function"]
        properties = function.get("parameters", {}).get("properties", {})
        signature = ", ".join(f"{key}: {value.get('type', 'any')}" for key, value in properties.items())
        lines.append(f"- {function['name']}({signature}): {function['description']}")
    return "Tools:\n" + "\n".join(lines)


class Row:
    """One training example under construction: ids, and the weight of the loss on predicting each of them."""

    def __init__(self, encode):
        self.encode = encode
        self.ids, self.weights = [BOS], [0.0]

    def add(self, ids, weight):
        self.ids += ids
        self.weights += [weight] * len(ids)

    def system(self, text, tools=()):
        parts = [text] if text else []
        if tools:
            parts.append(describe_tools(tools))
        self.add([SYSTEM, *self.encode("\n\n".join(parts)), END], WEIGHT_PROMPT)

    def turn(self, role, text):
        self.add([ROLES[role]], 0.0)
        self.add([*self.encode(text), END], WEIGHT_ANSWER if role == "assistant" else WEIGHT_PROMPT)

    def story(self, text):
        self.add([*self.encode(text), END], WEIGHT_STORY)
        self.add([BOS], 0.0)

    def __len__(self):
        return len(self.ids)
