import type { Config } from '../config.js';
import type { Attention, Linear, Norm, Rotary } from '../decoder.js';
import { readRotary } from '../rotary.js';
import type { NormOf } from './gemma-layers.js';
import { linear } from './parts.js';

/** The heads of a layer. */
export interface Heads {
  readonly headSize: number;
  readonly numKvHeads: number;
}

/** What the attention of all layers of a Gemma 3n or 4 is made of. */
export interface GemmaAttention {
  readonly hidden: number;
  readonly numHeads: number;
  readonly hasBias: boolean;
  /** By layer. */
  readonly isSliding: readonly boolean[];
  /** By layer: see `sharedKeys`. */
  readonly keysOf: readonly (number | null)[];
  /** Of sliding layers, in tokens. */
  readonly window: number;
  readonly sliding: Heads & { readonly rotary: Rotary };
  readonly full: Heads & { readonly rotary: Rotary };
  /** Whether values of full layers are their keys, before norm and rotation. */
  readonly keysAreValues: boolean;
  readonly norm: NormOf;
}

/** The attention of a layer: queries, keys and values are normed, scores are not scaled. */
export function gemmaAttention(path: string, layer: number, all: GemmaAttention): Attention {
  const { hidden, numHeads, hasBias, norm } = all;
  const isSliding = all.isSliding[layer];
  const { headSize, numKvHeads, rotary } = isSliding ? all.sliding : all.full;
  const projection = (part: 'q' | 'k' | 'v'): Linear => {
    const heads = part === 'q' ? numHeads : numKvHeads;
    return linear(`${path}.${part}_proj`, heads * headSize, hidden, hasBias);
  };
  const query = projection('q');
  const common = {
    kind: 'attention',
    numHeads,
    numKvHeads,
    headSize,
    scale: 1,
    softcap: 0,
    slidingWindow: isSliding ? all.window : 0,
    sinks: null,
    rotary,
    queryGrowth: null,
    output: linear(`${path}.o_proj`, hidden, numHeads * headSize, hasBias),
    queryNorm: { norm: norm(`${path}.q_norm`, headSize), of: 'head' },
    clip: null,
  } as const;
  const keysOf = all.keysOf[layer];
  if (keysOf !== null) {
    return { ...common, projections: { kind: 'query', query, keysOf }, keyNorm: null };
  }
  const keyNorm = norm(`${path}.k_norm`, headSize);
  const valueNorm: Norm = { ...keyNorm, weight: null };
  const value = projection(all.keysAreValues && !isSliding ? 'k' : 'v');
  return {
    ...common,
    projections: { kind: 'separate', query, key: projection('k'), value },
    keyNorm: { norm: keyNorm, of: 'head' },
    valueNorm: { norm: valueNorm, of: 'head' },
  };
}

/**
 * The rotation of one kind of layers, which must be stated.
 *
 * @throws OctavoError `model_file_corrupt`
 */
export function rotaryOfKind(
  config: Config,
  kind: 'sliding_attention' | 'full_attention',
  headSize: number,
): Rotary {
  const stated = config.inner('rope_parameters')?.inner(kind);
  if (stated) return readRotary(config, stated, { headSize });
  throw config.wrong('rope_parameters', `an object with ${kind}`);
}

/**
 * Whose keys and values each layer reads: the last `num_kv_shared_layers` read those of the last
 * layer before them that is of their kind.
 *
 * @returns by layer; null for one with keys of its own
 * @throws OctavoError `model_file_corrupt`, `model_unsupported`: there is no such layer
 */
export function sharedKeys(
  config: Config,
  isSliding: readonly boolean[],
  otherwise: number,
): (number | null)[] {
  const layers = isSliding.length;
  const shared = config.number('num_kv_shared_layers', otherwise);
  if (!(Number.isSafeInteger(shared) && shared >= 0 && shared < layers)) {
    throw config.wrong('num_kv_shared_layers', `a whole number below ${layers}`);
  }
  const own = isSliding.slice(0, layers - shared);
  return isSliding.map((kind, layer) => {
    if (layer < own.length) return null;
    const found = own.lastIndexOf(kind);
    if (found >= 0) return found;
    const name = kind ? 'sliding_attention' : 'full_attention';
    throw config.unsupported(`layer ${layer} reads the keys of an earlier ${name}; there is none`);
  });
}

/** Weights that checkpoints may have for layers that read others' keys. */
export function unusedKeys(keysOf: readonly (number | null)[]): RegExp[] {
  const layers = keysOf.flatMap((owner, layer) => (owner === null ? [] : [layer]));
  if (layers.length === 0) return [];
  const which = layers.join('|');
  return [new RegExp(`^model\\.layers\\.(${which})\\.self_attn\\.(k|v)_(proj|norm)\\.`)];
}
