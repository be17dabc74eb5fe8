import { STEP_INPUT } from '../../importer/imported-model.js';
import type { Decoder, LayerInput, LayerInputs } from '../decoder.js';
import type { GraphBuilder } from './graph-builder.js';
import {
  activated,
  heads,
  linearLayer,
  normLayer,
  parts,
  rowsOf,
  scaled,
  tokens,
} from './layers.js';

/**
 * What each layer reads besides its input, `[1, T, size]`.
 *
 * @param embedded `[1, T, hiddenSize]`
 */
export function layerInputs(
  b: GraphBuilder,
  embedded: string,
  inputs: LayerInputs,
  { vocabSize, layers }: Pick<Decoder, 'vocabSize' | 'layers'>,
): string[] {
  const { size, table, norm, projection } = inputs;
  const width = layers.length * size;
  const projected = scaled(b, linearLayer(b, embedded, projection), inputs.projectionScale);
  const normed = tokens(b, normLayer(b, heads(b, projected, layers.length, size), norm), width);
  const looked = rowsOf(b, table, idsWithin(b, table.shape[0], vocabSize));
  const sum = b.node('Add', 'layer_inputs.sum', [normed, scaled(b, looked, inputs.tableScale)]);
  const widths = layers.map(() => size);
  return parts(b, scaled(b, sum, inputs.sumScale), widths);
}

/** The step's ids, with 0 for those that a table of so many rows does not have. */
function idsWithin(b: GraphBuilder, rows: number, vocabSize: number): string {
  const ids = STEP_INPUT.inputIds;
  if (rows >= vocabSize) return ids;
  const isKnown = b.node('Less', 'layer_inputs.is_known', [ids, b.ints(`int.${rows}`, [rows], [])]);
  return b.node('Where', 'layer_inputs.ids', [isKnown, ids, b.ints('zero_int', [0], [])]);
}

/** @returns what the block adds to x. @param input the layer's own of `layerInputs` */
export function layerInputBlock(
  b: GraphBuilder,
  x: string,
  input: string,
  { gate, activation, projection, norm }: LayerInput,
): string {
  const opened = activated(b, linearLayer(b, x, gate), activation);
  const chosen = b.node('Mul', `${opened}/chosen`, [opened, input]);
  return normLayer(b, linearLayer(b, chosen, projection), norm);
}
