"""OpenVINO GenAI in the process: its pipeline with continuous batching and prefix caching.

Usage: python openvino_driver.py '{"model": DIRECTORY, "properties": {...}}'
"""

import json
import sys
import time

from loads import Request, serve

began = time.perf_counter()
import numpy as np
import openvino
import openvino_genai as genai

CACHE_GB = 4
THREADS = 2


class Pipeline:
    def __init__(self, model: str, properties: dict) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GB
        scheduler.enable_prefix_caching = True
        options = {"INFERENCE_NUM_THREADS": THREADS, **properties}
        self._pipeline = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", options)
        self._running: dict[int, tuple[Request, object]] = {}
        self._next = 0

    def add(self, request: Request) -> None:
        config = genai.GenerationConfig()
        config.max_new_tokens = request.max_tokens
        # The model has none; the pipeline wants a number.
        config.set_eos_token_id(0)
        config.ignore_eos = True
        config.do_sample = False
        config.apply_chat_template = False
        ids = openvino.Tensor(np.array([request.prompt], dtype=np.int64))
        handle = self._pipeline.add_request(self._next, ids, config)
        self._running[self._next] = (request, handle)
        self._next += 1

    def step(self) -> list[tuple[Request, int]]:
        self._pipeline.step()
        stepped = []
        for number, (request, handle) in list(self._running.items()):
            count = 0
            while handle.can_read():
                count += sum(len(output.generated_ids) for output in handle.read().values())
            if count > 0:
                stepped.append((request, count))
            if request.tokens + count >= request.max_tokens:
                del self._running[number]
        return stepped


options = json.loads(sys.argv[1])
serve(
    f"OpenVINO GenAI {genai.__version__}",
    began,
    Pipeline(options["model"], options.get("properties", {})),
)
