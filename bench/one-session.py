"""What one session with a branch for each segment takes, beside one session for each segment.

    pip install onnx onnxruntime numpy psutil
    python bench/one-session.py

24 segments in the shape of Qwen2.5-0.5B with int8 weights (random), as Octavo cuts a model: what
follows one layer's attention and comes before the next one's. In one session, a tree of `If` nodes
chooses the segment by an input. Each form runs in a process of its own, with the options of
engine/runner/segment-session.ts.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import psutil
from onnx import TensorProto as T
from onnx import helper, numpy_helper, save

SEGMENTS = 24
HIDDEN, INNER, PACKED = 896, 4864, 1152
ROWS = (1, 8, 32, 512)
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
MATMULS = {"o": (HIDDEN, HIDDEN), "gate": (HIDDEN, INNER), "up": (HIDDEN, INNER),
           "down": (INNER, HIDDEN), "qkv": (HIDDEN, PACKED)}

constant = numpy_helper.from_array
SHARED = [
    constant(np.array([0.01], np.float32), "input_scale"),
    constant(np.array(0.001, np.float32), "weight_scale"),
    constant(np.array(128, np.uint8), "zero"),
    constant(np.array(0, np.int8), "weight_zero"),
    constant(np.array(1, np.float32), "one"),
    constant(np.array(127, np.float32), "largest"),
    constant(np.array([-1], np.int64), "last"),
    constant(np.ones(HIDDEN, np.float32), "norm"),
]


def weights(index):
    random = np.random.default_rng(index)
    return [constant(random.integers(-60, 60, shape).astype(np.int8), f"{name}{index}")
            for name, shape in MATMULS.items()]


def segment(index, output):
    """Nodes from `x`, what attention gave, to the next layer's queries, keys and values."""
    nodes = []

    def add(operator, inputs, name, domain="", **attributes):
        nodes.append(helper.make_node(operator, inputs, [name], domain=domain, **attributes))
        return name

    def matmul(rows, weight):
        """Rounds each row to int8 by its largest number, and multiplies."""
        name = f"{weight}{index}"
        size = add("ReduceMax", [add("Abs", [rows], f"{name}.abs"), "last"], f"{name}.max", keepdims=1)
        scale = add("Div", [size, "largest"], f"{name}.scale")
        scaled = add("Div", [rows, scale], f"{name}.scaled")
        integers = add("QuantizeLinear", [scaled, "one", "zero"], f"{name}.int8")
        product = add("MatMulIntegerToFloat",
                      [integers, name, "input_scale", "weight_scale", "zero", "weight_zero"],
                      f"{name}.product", domain="com.microsoft")
        return add("Mul", [product, scale], f"{name}.out")

    def norm(rows, name):
        return add("SimplifiedLayerNormalization", [rows, "norm"], f"{name}{index}", axis=-1, epsilon=1e-6)

    attended = matmul("x", "o")
    normed = norm(attended, "n")
    gate, up = matmul(normed, "gate"), matmul(normed, "up")
    active = add("Mul", [gate, add("Sigmoid", [gate], f"sigmoid{index}")], f"silu{index}")
    inner = matmul(add("Mul", [active, up], f"inner{index}"), "down")
    following = norm(add("Add", [inner, attended], f"sum{index}"), "m")
    add("Identity", [matmul(following, "qkv")], output)
    return nodes


def tree(low, high, constants):
    """Nodes that compute the segment whose number is the input `index`, and their output."""
    output = f"y{low}.{high}"
    if high - low == 1:
        return segment(low, output), output
    middle = (low + high) // 2
    limit = f"limit{low}.{high}"
    constants.append(constant(np.array(middle, np.int64), limit))
    branches = []
    for begin, end in ((low, middle), (middle, high)):
        nodes, result = tree(begin, end, constants)
        value = helper.make_tensor_value_info(result, T.FLOAT, None)
        branches.append(helper.make_graph(nodes, f"branch{begin}.{end}", [], [value]))
    return [
        helper.make_node("Less", ["index", limit], [f"is{output}"]),
        helper.make_node("If", [f"is{output}"], [output], then_branch=branches[0], else_branch=branches[1]),
    ], output


def models(form):
    rows = helper.make_tensor_value_info("x", T.FLOAT, ["rows", HIDDEN])
    if form == "24 sessions":
        for index in range(SEGMENTS):
            result = helper.make_tensor_value_info("y", T.FLOAT, ["rows", PACKED])
            graph = helper.make_graph(segment(index, "y"), "g", [rows], [result], SHARED + weights(index))
            yield helper.make_model(graph, opset_imports=OPSETS, ir_version=8)
        return
    constants = []
    nodes, output = tree(0, SEGMENTS, constants)
    number = helper.make_tensor_value_info("index", T.INT64, [])
    result = helper.make_tensor_value_info(output, T.FLOAT, None)
    initializers = SHARED + constants + [each for index in range(SEGMENTS) for each in weights(index)]
    graph = helper.make_graph(nodes, "g", [rows, number], [result], initializers)
    yield helper.make_model(graph, opset_imports=OPSETS, ir_version=8)


def measure(form, files):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.intra_op.spin_duration_us", "50")
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    sessions = [ort.InferenceSession(file, options) for file in files]
    cells = [f"{time.perf_counter() - began:.2f}"]
    for rows in ROWS:
        x = np.random.default_rng(0).standard_normal((rows, HIDDEN)).astype(np.float32)
        times = []
        for _ in range(8 if rows > 100 else 40):
            began = time.perf_counter()
            for index in range(SEGMENTS):
                if len(sessions) > 1:
                    sessions[index].run(None, {"x": x})
                else:
                    sessions[0].run(None, {"x": x, "index": np.array(index, np.int64)})
            times.append(1000 * (time.perf_counter() - began))
        cells.append(f"{np.median(times):.1f}")
    cells.append(f"{(process.memory_info().rss - before) / 2**20:.0f}")
    print(f"| {form} | {' | '.join(cells)} |", flush=True)


if len(sys.argv) > 1:
    measure(sys.argv[1], sys.argv[2:])
else:
    print(f"onnxruntime {ort.__version__}")
    print(f"| form | start, s | {' | '.join(f'{rows} rows, ms' for rows in ROWS)} | resident, MiB more |")
    print("| --- " * (len(ROWS) + 3) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for form in ("24 sessions", "one session"):
            files = []
            for number, model in enumerate(models(form)):
                files.append(str(Path(folder) / f"{form} {number}.onnx"))
                save(model, files[-1])
            subprocess.run([sys.executable, __file__, form, *files], check=True)
