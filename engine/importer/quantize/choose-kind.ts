import { availableMemory } from '../../environment/available-memory.js';
import type { Graph } from '../graph.js';
import { formatOf, UNPACK } from '../onnx/unpack-node.js';
import { exactWeightBits } from './exact-weight-bits.js';
import type { Quantization, WeightBits } from './quantization.js';
import { type ChosenQuantization, planOf, type QuantizeModelOptions } from './quantize-model.js';

/** What a choice depends on: nothing that changes from one start to the next. */
export interface Machine {
  /** Bits up to which int8 weights give exact products. */
  readonly exactBits: WeightBits | null;
  /** Bytes that this process may use. */
  readonly memory: number;
}

/** A choice, and why, in words that follow "auto: ". */
export interface Choice {
  readonly kind: Exclude<Quantization, 'auto'>;
  readonly reason: string;
}

/** How the line that says why begins, in a graph's `rewrites`. */
export const CHOICE = '--quantize auto: ';

/** Below so many weights, a step takes milliseconds in any form. */
const SMALL = 50e6;

/** @param weights numbers of the matrices that are floats */
export function choose(weights: number, { exactBits, memory }: Machine): Choice {
  const millions = `${(weights / 1e6).toFixed(0)} million weights`;
  if (weights === 0) return { kind: 'none', reason: 'its weights are packed already' };
  if (weights < SMALL) return { kind: 'none', reason: `${millions} are few` };
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  const of = `of the ${gigabytes(memory)} of memory`;
  if (weights > memory / 2) {
    return { kind: 'q4', reason: `${millions} would take more than half ${of} in 8 bits` };
  }
  return exactBits === 8
    ? { kind: 'w8a8', reason: `this CPU multiplies int8 exactly and quickly` }
    : { kind: 'q8', reason: `on this CPU, sums of int8 products saturate` };
}

/**
 * Resolves `auto` for a model, and notes why.
 *
 * @returns null when weights stay what they are
 */
export async function chooseKind(
  graph: Graph,
  options: QuantizeModelOptions,
): Promise<ChosenQuantization | null> {
  const { kind, weightBits = exactWeightBits, ...others } = options;
  if (kind !== 'auto') return { ...options, kind: kind ?? 'w8a8' };
  const { memory, exactBits } = {
    memory: availableMemory().bytes,
    exactBits: await weightBits(),
  };
  const { matmuls } = planOf(graph, { nbits: false });
  const floats = matmuls.filter(
    ({ source }) => !('node' in source) || isFp8(graph, source.node.name),
  );
  const weights = floats.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
  const choice = choose(weights, { memory, exactBits });
  graph.rewrites.push(`${CHOICE}${choice.kind}, as ${choice.reason}`);
  return choice.kind === 'none' ? null : { ...others, weightBits, kind: choice.kind };
}

function isFp8(graph: Graph, name: string): boolean {
  return graph.nodes.some(
    (node) => node.name === name && node.opType === UNPACK && formatOf(node) === 'fp8',
  );
}
