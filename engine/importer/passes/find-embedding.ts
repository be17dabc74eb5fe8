import type { Graph } from '../graph.js';
import { readersOf } from '../graph-queries.js';
import { STEP_INPUT } from '../imported-model.js';
import { intAttribute } from '../onnx/nodes.js';
import { TensorProto_DataType as Type } from '../onnx/onnx_pb.js';

/** Operators that look up rows of a table. */
const LOOKUPS = new Set(['Gather', 'GatherBlockQuantized']);

/**
 * Finds the embeddings of a step's tokens: what the one lookup by their ids makes, widened to
 * float32. Factors on them are left out, because what reads them elsewhere has its own. Passes keep
 * the tensor's name.
 *
 * @returns null when the ids are used in another way, or more than once
 */
export function findEmbedding(graph: Graph): string | null {
  const readers = readersOf(graph);
  const lookups = (readers.get(STEP_INPUT.inputIds) ?? []).filter(
    ({ opType }) => opType !== 'Shape',
  );
  const [lookup] = lookups;
  if (lookups.length !== 1 || !LOOKUPS.has(lookup.opType)) return null;
  const tables = lookup.input.filter((name) => name !== STEP_INPUT.inputIds);
  if (!tables.every((name) => graph.isConstant(name))) return null;
  const [rows] = lookup.output;
  const [widening, ...others] = readers.get(rows) ?? [];
  const isWidened =
    others.length === 0 &&
    widening?.opType === 'Cast' &&
    intAttribute(widening, 'to', 0) === (Type.FLOAT as number);
  return isWidened ? widening.output[0] : rows;
}
