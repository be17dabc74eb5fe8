"""
Writes the model directory from a checkpoint: config, template, onnx/model.onnx; and checks the result in ONNX Runtime.

    python export.py checkpoints/last.pt
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from corpus.conversation import BOS, END, PAD
from graph import build
from model import Shape, TinyLlama

MODEL_DIR = Path(__file__).parent.parent

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- set first = messages[0] -%}
{%- set has_system = first.role == 'system' -%}
{%- if has_system or tools -%}
  {{- '<|system|>' -}}
  {%- if has_system -%}{{- first.content -}}{%- endif -%}
  {%- if tools -%}
    {%- if has_system and first.content -%}{{- '\\n\\n' -}}{%- endif -%}
    {{- 'Tools:' -}}
    {%- for tool in tools -%}
      {%- set function = tool.function if tool.function is defined else tool -%}
      {{- '\\n- ' + function.name + '(' -}}
      {%- if function.parameters and function.parameters.properties -%}
        {%- for name, schema in function.parameters.properties.items() -%}
          {{- name + ': ' + (schema.type if schema.type is string else 'any') -}}
          {%- if not loop.last -%}{{- ', ' -}}{%- endif -%}
        {%- endfor -%}
      {%- endif -%}
      {{- ')' -}}
      {%- if function.description -%}{{- ': ' + function.description -}}{%- endif -%}
    {%- endfor -%}
  {%- endif -%}
  {{- '<|end|>' -}}
{%- endif -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- if not loop.first -%}{{- raise_exception('A system message must be the first message.') -}}{%- endif -%}
  {%- elif message.role == 'user' -%}
    {{- '<|user|>' + message.content + '<|end|>' -}}
  {%- elif message.role == 'tool' -%}
    {{- '<|tool|>' + message.content + '<|end|>' -}}
  {%- elif message.role == 'assistant' -%}
    {{- '<|assistant|>' -}}
    {%- if message.content -%}{{- message.content -}}{%- endif -%}
    {%- if message.tool_calls -%}
      {%- for call in message.tool_calls -%}
        {%- set function = call.function if call.function is defined else call -%}
        {%- if not loop.first or message.content -%}{{- '\\n' -}}{%- endif -%}
        {{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' -}}
        {%- if function.arguments is string -%}{{- function.arguments -}}
        {%- else -%}{{- function.arguments | tojson -}}{%- endif -%}
        {{- '}\\n</tool_call>' -}}
      {%- endfor -%}
    {%- endif -%}
    {{- '<|end|>' -}}
  {%- else -%}
    {{- raise_exception('Unknown role: ' + message.role) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def write_json(name, value):
    (MODEL_DIR / name).write_text(json.dumps(value, indent=2) + "\n")


def write_configs(shape):
    write_json("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": shape.vocab,
        "hidden_size": shape.hidden, "intermediate_size": shape.mlp, "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_size,
        "hidden_act": "silu", "max_position_embeddings": shape.context, "rms_norm_eps": shape.eps,
        "rope_theta": shape.rope_theta, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD, "torch_dtype": "float32",
    })
    write_json("generation_config.json", {"bos_token_id": BOS, "eos_token_id": [END], "pad_token_id": PAD})
    write_json("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|end|>",
        "pad_token": "<|pad|>", "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False,
        "model_max_length": shape.context,
    })
    (MODEL_DIR / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def check(model, path, shape):
    """Prefill and a decode step with past must equal PyTorch."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ids = torch.randint(7, shape.vocab, (1, 40))
    with torch.no_grad():
        expected = model(ids).numpy()
    past = {f"past_key_values.{i}.{kind}": np.zeros((1, shape.kv_heads, 0, shape.head_size), np.float32)
            for i in range(shape.layers) for kind in ("key", "value")}
    names = [output.name for output in session.get_outputs()]
    worst = 0.0
    for start, end in ((0, 30), (30, 31), (31, 40)):
        feeds = {"input_ids": ids[:, start:end].numpy(), "position_ids": np.arange(start, end)[None],
                 "attention_mask": np.ones((1, end), np.int64), **past}
        results = dict(zip(names, session.run(None, feeds)))
        worst = max(worst, np.abs(results["logits"] - expected[:, start:end]).max())
        past = {name.replace("present", "past_key_values"): value
                for name, value in results.items() if name != "logits"}
    print(f"largest difference to PyTorch: {worst:.2e}")
    assert worst < 1e-3, "the exported graph does not compute what the checkpoint does"


def main():
    shape = Shape()
    model = TinyLlama(shape).eval()
    if len(sys.argv) > 1:
        model.load_state_dict(torch.load(sys.argv[1])["model"])
    write_configs(shape)
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    proto = build(weights, shape, model.cos.numpy(), model.sin.numpy())
    path = MODEL_DIR / "onnx" / "model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(proto, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").rename(path)
    print(f"{path.stat().st_size:,} bytes")
    check(model, path, shape)


if __name__ == "__main__":
    main()
