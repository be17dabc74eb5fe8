"""ONNX Runtime GenAI in the process: its generator, which computes a batch of equal lengths.

It has no scheduler and no prefix cache: clients that come while a batch runs wait for its end.
Usage: python genai_driver.py '{"model": DIRECTORY}'
"""

import json
import sys
import time

from loads import Request, serve

began = time.perf_counter()
import numpy as np
import onnxruntime_genai as genai


class Batches:
    def __init__(self, model: str) -> None:
        self._model = genai.Model(model)
        self._waiting: list[Request] = []
        self._batch: list[Request] = []
        self._generator: genai.Generator | None = None

    def add(self, request: Request) -> None:
        self._waiting.append(request)

    def step(self) -> list[tuple[Request, int]]:
        if self._generator is None:
            self._begin()
        assert self._generator is not None
        self._generator.generate_next_token()
        stepped = [(request, 1) for request in self._batch]
        if all(request.tokens + 1 >= request.max_tokens for request in self._batch):
            self._generator = None
        return stepped

    def _begin(self) -> None:
        """Takes those that wait and have the first one's lengths."""
        first = self._waiting[0]
        shape = (len(first.prompt), first.max_tokens)
        self._batch = [r for r in self._waiting if (len(r.prompt), r.max_tokens) == shape]
        self._waiting = [r for r in self._waiting if (len(r.prompt), r.max_tokens) != shape]
        params = genai.GeneratorParams(self._model)
        length = sum(shape)
        params.set_search_options(
            do_sample=False, max_length=length, min_length=length, batch_size=len(self._batch)
        )
        self._generator = genai.Generator(self._model, params)
        prompts = np.array([request.prompt for request in self._batch], dtype=np.int32)
        self._generator.append_tokens(prompts)


options = json.loads(sys.argv[1])
serve(f"ONNX Runtime GenAI {genai.__version__}", began, Batches(options["model"]))
