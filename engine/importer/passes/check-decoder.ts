import { OctavoError } from '../../errors.js';
import type { Graph } from '../graph.js';
import { LOGITS, STEP_INPUT } from '../imported-model.js';

/** Inputs that tell what a graph is, when it is no decoder of text. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/^encoder_/, 'it is the decoder of a model with an encoder'],
  [/^pixel_values/, 'it is a model of images'],
  [/^(input_features|input_values)$/, 'it is a model of audio'],
  [/^token_type_ids$/, 'it is an encoder'],
];

/**
 * @throws OctavoError `model_unsupported`: what the graph is instead of a decoder with a KV cache
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
  if (!graph.inputs.has(STEP_INPUT.inputIds)) {
    const found = inputs.slice(0, 4).join(', ');
    throw fail(
      `it has no input ${STEP_INPUT.inputIds}, but ${found}`,
      inputs.includes('inputs_embeds')
        ? 'it is one part of a multimodal model, which is not supported'
        : 'only decoders of text are supported',
    );
  }
  if (!graph.outputs.has(LOGITS)) {
    const found = [...graph.outputs.keys()].slice(0, 4).join(', ');
    throw fail(
      `it has no output ${LOGITS}, but ${found}`,
      'export the model with its language-modelling head (--task text-generation-with-past)',
    );
  }
}
