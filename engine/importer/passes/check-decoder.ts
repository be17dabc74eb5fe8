import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { LOGITS, STEP_INPUT } from '../imported-model.js';

/** Names of inputs by which graphs other than text decoders are recognized. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/^encoder_/, 'it is the decoder of a model with an encoder'],
  [/^pixel_values/, 'it is a model of images'],
  [/^(input_features|input_values)$/, 'it is a model of audio'],
  [/^token_type_ids$/, 'it is an encoder'],
];

/** The same for operators: those that keep a state from step to step, in forms for GPUs alone. */
const FOREIGN_OPERATORS: Readonly<Record<string, string>> = {
  VarlenCausalConvWithState: 'a convolution state',
  GatedDeltaNet: 'a recurrent state',
  VarlenGatedDeltaNet: 'a recurrent state',
};

/**
 * @throws OctavoError `model_unsupported`: says what the graph is instead of a decoder with a KV
 *   cache
 */
export function checkDecoder(graph: Graph): void {
  const inputs = [...graph.inputs.keys()];
  const fail = (what: string, hint: string): OctavoError =>
    new OctavoError('model_unsupported', `${graph.file}: ${what}; ${hint}`);
  for (const [pattern, what] of FOREIGN) {
    const input = inputs.find((name) => pattern.test(name));
    if (input === undefined) continue;
    throw fail(`${what} (input ${input})`, 'only decoders of text with a KV cache are supported');
  }
  for (const { opType, name } of graph.nodes) {
    if (opType === 'PagedAttention') {
      throw fail(
        `node ${name} (PagedAttention) works on pages of a GPU's memory`,
        "export it without the model builder's option use_paged_attention, for -e cpu",
      );
    }
    const state = FOREIGN_OPERATORS[opType];
    if (state === undefined) continue;
    throw keepsState(graph, `node ${name} (${opType}) keeps ${state}`);
  }
  if (!graph.inputs.has(STEP_INPUT.inputIds)) {
    const found = inputs.slice(0, 4).join(', ');
    throw fail(
      `it has no input ${STEP_INPUT.inputIds}, but ${found}`,
      inputs.includes('inputs_embeds')
        ? 'it is the decoder of a model of text and images, and its embedding is missing: expected embed_tokens.onnx or embedding.onnx beside it, ' +
            "or the text model exported with input_ids as an input (the model builder's option exclude_embeds takes it away)"
        : 'only decoders of text are supported',
    );
  }
  if (!graph.outputs.has(LOGITS)) {
    const found = [...graph.outputs.keys()].slice(0, 4).join(', ');
    throw fail(
      `it has no output ${LOGITS}, but ${found}`,
      'export the model with its language-modeling head (--task text-generation-with-past)',
    );
  }
}

/** The error for a layer that keeps a state but is not attention. */
export function keepsState(graph: Graph, what: string): OctavoError {
  return new OctavoError(
    'model_unsupported',
    `${graph.file}: ${what} instead of keys and values. Take the model's safetensors, of which LFM2, Qwen 3.5, Qwen3-Next, Granite 4, Falcon-H1, ` +
      'Bamba, Nemotron-H and Mamba 2 are served; or, of ONNX, states of the operators CausalConvWithState and LinearAttention: export LFM2 ' +
      'and Qwen 3.5 with the model builder of onnxruntime-genai 0.18 (-p fp32 -e cpu), Qwen 3.5, Qwen3-Next and Mamba 2 with mobius 0.1 ' +
      '(mobius build). Other layers with a state, such as those of Mamba 1 (Jamba), are not supported in any export',
  );
}
