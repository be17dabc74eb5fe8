"""Calls a server through one library after another, as their own pages show it.

    python python_clients.py http://127.0.0.1:8000

Prints a JSON object: what each library gave, or its error.
"""

import json
import sys
import traceback
from typing import Literal

from pydantic import BaseModel

URL = sys.argv[1]
V1 = f"{URL}/v1"
MODEL = "octavo-tiny"
QUESTION = "What is the capital of France?"
MESSAGES = [{"role": "user", "content": QUESTION}]


class City(BaseModel):
    """Short, whatever the model says."""

    name: Literal["Paris", "London"]
    is_capital: bool


def with_openai():
    from openai import OpenAI

    client = OpenAI(base_url=V1, api_key="none")
    chat = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 16}
    whole = client.chat.completions.create(**chat).choices[0].message.content
    parts = client.chat.completions.create(**chat, stream=True)
    streamed = "".join(part.choices[0].delta.content or "" for part in parts)
    parsed = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=City, max_tokens=200
    )
    response = client.responses.create(
        model=MODEL, input=QUESTION, temperature=0, max_output_tokens=16
    )
    vector = client.embeddings.create(model=MODEL, input="owl").data[0].embedding
    return {
        "text": whole,
        "same": streamed == whole and response.output_text == whole,
        "form": type(parsed.choices[0].message.parsed).__name__,
        "vector": len(vector) > 8,
    }


def with_anthropic():
    from anthropic import Anthropic

    client = Anthropic(base_url=URL, api_key="none")
    asked = {
        "model": MODEL,
        "max_tokens": 16,
        "messages": MESSAGES,
        "extra_body": {"temperature": 0},
    }
    whole = client.messages.create(**asked).content[0].text
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_text()
    counted = client.messages.count_tokens(model=MODEL, messages=MESSAGES)
    return {"text": whole, "same": streamed == whole, "counted": counted.input_tokens > 0}


def with_langchain():
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL, base_url=V1, api_key="none", temperature=0, max_tokens=16)
    whole = model.invoke(QUESTION).text
    streamed = "".join(chunk.text for chunk in model.stream(QUESTION))
    formed = ChatOpenAI(model=MODEL, base_url=V1, api_key="none", max_tokens=200)
    city = formed.with_structured_output(City).invoke(QUESTION)
    return {"text": whole, "same": streamed == whole, "form": type(city).__name__}


def with_litellm():
    import litellm

    asked = {
        "model": f"openai/{MODEL}",
        "api_base": V1,
        "api_key": "none",
        "messages": MESSAGES,
        "temperature": 0,
        "max_tokens": 16,
    }
    whole = litellm.completion(**asked).choices[0].message.content
    parts = litellm.completion(**asked, stream=True)
    streamed = "".join(part.choices[0].delta.content or "" for part in parts)
    return {"text": whole, "same": streamed == whole}


def with_instructor():
    import instructor
    from openai import OpenAI

    client = instructor.from_openai(
        OpenAI(base_url=V1, api_key="none"), mode=instructor.Mode.JSON_SCHEMA
    )
    city = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, response_model=City, max_tokens=200
    )
    return {"form": type(city).__name__}


def with_pydantic_ai():
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=V1, api_key="none")
    model = OpenAIChatModel(MODEL, provider=provider)
    settings = {"temperature": 0, "max_tokens": 16}
    text = Agent(model, model_settings=settings).run_sync(QUESTION).output
    formed = Agent(model, output_type=NativeOutput(City), model_settings={"max_tokens": 200})
    return {"text": text, "form": type(formed.run_sync(QUESTION).output).__name__}


def with_ollama():
    from ollama import Client

    client = Client(host=URL)
    asked = {
        "model": MODEL,
        "messages": MESSAGES,
        "options": {"temperature": 0, "num_predict": 16},
    }
    whole = client.chat(**asked).message.content
    streamed = "".join(part.message.content for part in client.chat(**asked, stream=True))
    names = [model.model for model in client.list().models]
    return {"text": whole, "same": streamed == whole, "names": names}


def with_llama_index():
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(
        model=MODEL, api_base=V1, api_key="none", is_chat_model=True, temperature=0, max_tokens=16
    )
    messages = [ChatMessage(role="user", content=QUESTION)]
    whole = model.chat(messages).message.content
    streamed = "".join(part.delta or "" for part in model.stream_chat(messages))
    return {"text": whole, "same": streamed == whole}


CLIENTS = {
    "openai": with_openai,
    "anthropic": with_anthropic,
    "langchain-openai": with_langchain,
    "litellm": with_litellm,
    "instructor": with_instructor,
    "pydantic-ai": with_pydantic_ai,
    "ollama": with_ollama,
    "llama-index": with_llama_index,
}

results = {}
for name, call in CLIENTS.items():
    try:
        results[name] = call()
    except Exception:
        results[name] = {"error": traceback.format_exc()[-2000:]}
print(json.dumps(results))
