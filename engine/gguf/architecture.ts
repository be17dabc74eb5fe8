import type { GgufCheckpoint } from '../checkpoint/gguf-files.js';
import type { GgufKeys } from './keys.js';
import type { TensorNames } from './tensor-names.js';

/** Of layers: the largest models have some hundreds. */
const MOST_PARTS = 4096;

/** A configuration in the terms of config.json. */
export type ConfigValues = Readonly<Record<string, unknown>>;

/** What an architecture of GGUF is called in config.json, and what it says besides the usual. */
export interface Architecture {
  readonly names: TensorNames;
  /** Layers differ: some have no attention, and no heads of keys, or no feed-forward block. */
  readonly hasStates?: boolean;
  readonly values: (keys: GgufKeys, checkpoint: GgufCheckpoint) => ConfigValues;
}

/** Layers that compute texts: files may have more, which propose next tokens. */
export function layersOf(keys: GgufKeys): number {
  return keys.count('block_count', MOST_PARTS) - (keys.maybe('nextn_predict_layers') ?? 0);
}

/** The values of a key for these layers. */
export function byLayer(keys: GgufKeys, key: string): number[] {
  const all = keys.byLayer(key, keys.count('block_count', MOST_PARTS));
  return all.slice(0, layersOf(keys));
}

export function headSizeOf(keys: GgufKeys): number {
  return (
    keys.maybe('attention.key_length') ??
    keys.number('embedding_length') / keys.number('attention.head_count')
  );
}

/** Whether a tensor of this name is in any layer. */
export function anyLayerHas({ tensors }: GgufCheckpoint, part: string): boolean {
  return [...tensors.keys()].some((name) => name.endsWith(`.${part}`));
}

/** Layers whose feed-forward block has no experts. */
export function layersWithoutExperts(keys: GgufKeys, { tensors }: GgufCheckpoint): number[] {
  return Array.from({ length: layersOf(keys) }, (_, layer) => layer).filter(
    (layer) => !tensors.has(`blk.${layer}.ffn_gate_inp.weight`),
  );
}

/**
 * Rows of queries and keys are stored in an order in which the halves of each head alternate;
 * scores do not depend on that order.
 */
export const SORTED = { heads_sorted: true };

/** The same, where the rotation turns neighbors in that order. */
export const NEIGHBORS = { ...SORTED, rope_interleaved: true };

/** What kind of attention each of these layers has, by the file's flags: true for a window. */
export function layerTypes(keys: GgufKeys, otherwise: (layer: number) => boolean): string[] {
  const pattern = `${keys.architecture}.attention.sliding_window_pattern`;
  const stated = keys.flags(pattern, keys.number('block_count'));
  return Array.from({ length: layersOf(keys) }, (_, layer) =>
    (stated?.[layer] ?? otherwise(layer)) ? 'sliding_attention' : 'full_attention',
  );
}

export const experts = (keys: GgufKeys): ConfigValues => ({
  num_local_experts: keys.number('expert_count'),
  num_experts_per_tok: keys.number('expert_used_count'),
});
