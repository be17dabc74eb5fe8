import { closeSync, openSync, readSync } from 'node:fs';
import type { GgufCheckpoint } from '../checkpoint/gguf-files.js';
import type { GgufKeys } from './keys.js';

/** Tensors that belong to the rotation, not to a weight of the description. */
export const ROTATION_TENSORS: readonly string[] = [
  'rope_freqs.weight',
  'rope_factors_short.weight',
  'rope_factors_long.weight',
];

/** The scaling of a rotation in the terms of config.json; null without. */
export function rotationOf(
  keys: GgufKeys,
  checkpoint: GgufCheckpoint,
): Readonly<Record<string, unknown>> | null {
  const factors = floatsOf(keys, checkpoint, 'rope_freqs.weight');
  if (factors) return { rope_type: 'divided', factors };
  const short = floatsOf(keys, checkpoint, 'rope_factors_short.weight');
  const long = floatsOf(keys, checkpoint, 'rope_factors_long.weight');
  const original = keys.maybe('rope.scaling.original_context_length');
  const attention = keys.maybe('rope.scaling.attn_factor');
  if (short && long) {
    return {
      rope_type: 'longrope',
      short_factor: short,
      long_factor: long,
      original_max_position_embeddings: original ?? keys.number('context_length'),
      attention_factor: attention,
    };
  }
  const kind = keys.maybeText(`${keys.architecture}.rope.scaling.type`);
  const factor = keys.maybe('rope.scaling.factor') ?? keys.maybe('rope.scale_linear') ?? 1;
  if (kind === 'none' || factor === 1) return null;
  switch (kind) {
    case null:
    case 'linear':
      return { rope_type: 'linear', factor };
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor,
        original_max_position_embeddings: original ?? keys.number('context_length'),
        beta_fast: keys.maybe('rope.scaling.yarn_beta_fast') ?? 32,
        beta_slow: keys.maybe('rope.scaling.yarn_beta_slow') ?? 1,
        // llama.cpp multiplies its own magnitude with this factor.
        attention_factor: attention === null ? null : attention * (1 + 0.1 * Math.log(factor)),
      };
    default:
      throw keys.unsupported(
        `its rotation has the scaling ${JSON.stringify(kind)}; known are none, linear, yarn and longrope`,
      );
  }
}

/** Values of a small tensor of float32. */
function floatsOf(keys: GgufKeys, checkpoint: GgufCheckpoint, name: string): number[] | null {
  const tensor = checkpoint.tensors.get(name);
  if (!tensor) return null;
  if (tensor.type !== 'F32' || tensor.shape.length !== 1 || tensor.bytes > 2 ** 16) {
    throw keys.unsupported(`${name} is no short list of F32`);
  }
  const bytes = new Uint8Array(tensor.bytes);
  const descriptor = openSync(tensor.file, 'r');
  try {
    readSync(descriptor, bytes, 0, bytes.length, tensor.offset);
  } finally {
    closeSync(descriptor);
  }
  return Array.from(new Float32Array(bytes.buffer));
}
