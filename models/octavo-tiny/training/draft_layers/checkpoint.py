"""Draft layers as a directory: config.json, and model.safetensors in bfloat16, with the names of EAGLE's checkpoints."""

import json

import torch
from safetensors.torch import load_file, save_file

from corpus.conversation import BOS, END, PAD
from draft_layers.drafter import Drafter
from model import Shape


def prefix(specialist):
    """Where the weights of a specialist are; the first is 1, and has the names of a checkpoint with one layer."""
    return "" if specialist == 1 else f"specialists.{specialist}."


def file_name(parameter):
    return parameter if parameter.startswith("fc.") else f"layers.0.{parameter}"


def save(drafter, directory):
    shape, count = drafter.specialists[0].shape, len(drafter.specialists)
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["EagleLlamaForCausalLM"], "model_type": "llama", "vocab_size": shape.vocab,
        "hidden_size": shape.hidden, "intermediate_size": shape.mlp, "num_hidden_layers": 1,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_size,
        "hidden_act": "silu", "max_position_embeddings": shape.context, "rms_norm_eps": shape.eps,
        "rope_theta": shape.rope_theta, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD, "torch_dtype": "bfloat16",
    }
    if count > 1:
        config["num_position_specialists"] = count
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({
        prefix(i) + file_name(name): value.detach().to(torch.bfloat16).contiguous()
        for i, layer in enumerate(drafter.specialists, 1) for name, value in layer.state_dict().items()
    }, directory / "model.safetensors", metadata={"format": "pt"})


def load(directory):
    """The drafter of a directory, in float32, with the weights as bfloat16 has rounded them."""
    config = json.loads((directory / "config.json").read_text())
    weights = load_file(directory / "model.safetensors")
    drafter = Drafter(Shape(), config.get("num_position_specialists", 1)).eval().requires_grad_(False)
    for i, layer in enumerate(drafter.specialists, 1):
        layer.load_state_dict({name: weights.pop(prefix(i) + file_name(name)).float() for name in layer.state_dict()})
    if weights:
        raise SystemExit(f"{directory} has weights that no specialist takes: {', '.join(weights)}")
    return drafter
