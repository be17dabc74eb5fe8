"""
The ONNX graph of a Llama, in the form in which ONNX Runtime GenAI's model builder writes it: GroupQueryAttention with
past and present, RotaryEmbedding before it, (Skip)SimplifiedLayerNormalization around it.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


def weight_name(path):
    """The name of the weight of the MatMul at `path` in the graph."""
    return path.lstrip("/").replace("/MatMul", "").replace("/", ".") + ".MatMul.weight"


def read_weights(path):
    """The state dict of a TinyLlama from a file that `build` made."""
    found = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(path).graph.initializer}
    state = {name: torch.from_numpy(array.copy()) for name, array in found.items()
             if name == "model.embed_tokens.weight" or name.endswith("norm.weight")}
    for name, array in found.items():
        if name.endswith(".MatMul.weight") and name != "lm_head.MatMul.weight":
            parameter = name.replace(".attn.", ".self_attn.").replace(".MatMul", "")
            state[parameter] = torch.from_numpy(array.T.copy())
    return state


def weights_from(path):
    """The state dict of a TinyLlama from an exported model.onnx or a checkpoint of train.py."""
    path = Path(path)
    return read_weights(path) if path.suffix == ".onnx" else torch.load(path)["model"]


class GraphWriter:
    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, path, outputs=("output_0",), domain="", **attributes):
        """Adds a node and returns the name of its first output."""
        names = [f"{path}/{output}" if output else "" for output in outputs]
        self.nodes.append(helper.make_node(op, inputs, names, name=path, domain=domain, **attributes))
        return names[0]

    def matmul(self, x, path, weight):
        """`weight` as PyTorch keeps it, [out, in]; ONNX multiplies by [in, out]."""
        return self.node("MatMul", [x, self.weight(weight_name(path), weight.T)], path)


def mask_lengths(g):
    """What GroupQueryAttention wants to know of the mask: each sequence's last index, and the longest length."""
    one = g.weight("/model/constants/INT64/[1]", np.array([1], np.int64))
    path = "/model/attn_mask_reformat/attn_mask_subgraph"
    total = g.node("ReduceSum", ["attention_mask", one], f"{path}/ReduceSum", keepdims=1)
    last = g.node("Sub", [total, one], f"{path}/Sub")
    seqlens = g.node("Cast", [last], f"{path}/Sub/Cast", to=INT32)
    shape = g.node("Shape", ["attention_mask"], f"{path}/Shape")
    index = g.weight("/model/constants/INT64/1", np.array(1, np.int64))
    length = g.node("Gather", [shape, index], f"{path}/Gather", axis=0)
    return seqlens, g.node("Cast", [length], f"{path}/Gather/Cast", to=INT32)


def attention(g, layer, x, weights, shape, lengths):
    path = f"/model/layers.{layer}/attn"
    get = lambda name: weights[f"model.layers.{layer}.self_attn.{name}.weight"]
    q, k, v = (g.matmul(x, f"{path}/{name}_proj/MatMul", get(f"{name}_proj")) for name in "qkv")
    rotated = [
        g.node("RotaryEmbedding", [y, "position_ids", "cos_cache", "sin_cache"], f"{path}/{name}_rotary/RotaryEmbedding",
               domain=MS, interleaved=0, num_heads=0, rotary_embedding_dim=0)
        for name, y in (("q", q), ("k", k))
    ]
    g.nodes.append(helper.make_node(
        "GroupQueryAttention",
        [*rotated, v, f"past_key_values.{layer}.key", f"past_key_values.{layer}.value", *lengths],
        [f"{path}/GroupQueryAttention/output_0", f"present.{layer}.key", f"present.{layer}.value"],
        name=f"{path}/GroupQueryAttention", domain=MS, num_heads=shape.heads, kv_num_heads=shape.kv_heads,
        scale=shape.head_size ** -0.5, do_rotary=0, local_window_size=-1,
    ))
    return g.matmul(f"{path}/GroupQueryAttention/output_0", f"{path}/o_proj/MatMul", get("o_proj"))


def mlp(g, layer, x, weights):
    path = f"/model/layers.{layer}/mlp"
    get = lambda name: weights[f"model.layers.{layer}.mlp.{name}.weight"]
    gate = g.matmul(x, f"{path}/gate_proj/MatMul", get("gate_proj"))
    up = g.matmul(x, f"{path}/up_proj/MatMul", get("up_proj"))
    sigmoid = g.node("Sigmoid", [gate], f"{path}/act_fn/Sigmoid")
    activated = g.node("Mul", [gate, sigmoid], f"{path}/act_fn/Mul")
    return g.matmul(g.node("Mul", [activated, up], f"{path}/Mul"), f"{path}/down_proj/MatMul", get("down_proj"))


def skip_norm(g, path, x, skip, weight, shape):
    """Returns the normed sum and the sum itself, which is the next residual."""
    normed = g.node("SkipSimplifiedLayerNormalization", [x, skip, weight], path,
                    ["output_0", "", "", "output_3"], domain=MS, epsilon=shape.eps)
    return normed, f"{path}/output_3"


def build(weights, shape, cos, sin):
    """The whole model from a state dict of numpy arrays."""
    g = GraphWriter()
    g.weight("cos_cache", cos)
    g.weight("sin_cache", sin)
    lengths = mask_lengths(g)
    embedding = g.weight("model.embed_tokens.weight", weights["model.embed_tokens.weight"])
    x = g.node("Gather", [embedding, "input_ids"], "/model/embed_tokens/Gather")
    norm = lambda name: g.weight(f"{name}.weight", weights[f"{name}.weight"])
    residual, delta = x, None
    for layer in range(shape.layers):
        path = f"/model/layers.{layer}"
        name = norm(f"model.layers.{layer}.input_layernorm")
        if delta is None:
            normed = g.node("SimplifiedLayerNormalization", [x, name], f"{path}/input_layernorm/LayerNorm",
                            axis=-1, epsilon=shape.eps, stash_type=1)
        else:
            normed, residual = skip_norm(g, f"{path}/input_layernorm/SkipLayerNorm", residual, delta, name, shape)
        delta = attention(g, layer, normed, weights, shape, lengths)
        name = norm(f"model.layers.{layer}.post_attention_layernorm")
        normed, residual = skip_norm(g, f"{path}/post_attention_layernorm/SkipLayerNorm", residual, delta, name, shape)
        delta = mlp(g, layer, normed, weights)
    normed, _ = skip_norm(g, "/model/final_norm/SkipLayerNorm", residual, delta, norm("model.norm"), shape)
    head = g.weight("lm_head.MatMul.weight", weights["model.embed_tokens.weight"].T)
    g.nodes.append(helper.make_node("MatMul", [normed, head], ["logits"], name="/lm_head/MatMul"))
    return finish(g, shape)


def finish(g, shape):
    cache = lambda name, time: helper.make_tensor_value_info(
        name, FLOAT, ["batch_size", shape.kv_heads, time, shape.head_size])
    inputs = [
        helper.make_tensor_value_info("input_ids", INT64, ["batch_size", "sequence_length"]),
        helper.make_tensor_value_info("attention_mask", INT64, ["batch_size", "total_sequence_length"]),
        helper.make_tensor_value_info("position_ids", INT64, ["batch_size", "sequence_length"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", FLOAT, ["batch_size", "sequence_length", shape.vocab])]
    for layer in range(shape.layers):
        for kind in ("key", "value"):
            inputs.append(cache(f"past_key_values.{layer}.{kind}", "past_sequence_length"))
            outputs.append(cache(f"present.{layer}.{kind}", "total_sequence_length"))
    graph = helper.make_graph(g.nodes, "octavo-tiny", inputs, outputs, g.weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, producer_name="octavo-tiny", opset_imports=opsets, ir_version=10)
