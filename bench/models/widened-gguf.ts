import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readGguf } from '../../engine/checkpoint/gguf.js';
import type { GgufValue as ReadValue } from '../../engine/checkpoint/gguf-values.js';
import { PACKED_FORMATS } from '../../engine/checkpoint/packed/index.js';
import { unpackBlocks, unpackedMemory } from '../../engine/checkpoint/packed/packed-format.js';
import type { StoredTensor } from '../../engine/checkpoint/stored-tensor.js';
import { type GgufTensor, type GgufValue, writeGguf } from './gguf-writer.js';

/** Blocks that are unpacked at a time. */
const PIECE = 4096;

/**
 * A GGUF file with the weights of another as float32: what rounding needs to begin with. Made on
 * first use, and kept in bench/models/generated.
 *
 * @returns the file
 */
export function ensureWidened(source: string): string {
  const directory = fileURLToPath(new URL('./generated/widened', import.meta.url));
  const path = `${directory}/${basename(source)}`;
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true });
  const { metadata, tensors } = readGguf(source);
  const input = openSync(source, 'r');
  try {
    writeGguf(
      `${path}.tmp`,
      Object.fromEntries([...metadata].map(([key, value]) => [key, written(key, value)])),
      tensors.map((tensor) => widened(input, tensor)),
    );
  } finally {
    closeSync(input);
  }
  renameSync(`${path}.tmp`, path);
  return path;
}

function written(key: string, value: ReadValue): GgufValue {
  if (typeof value === 'string') return { type: 'string', value };
  if (typeof value === 'boolean') return { type: 'bool', value };
  if (typeof value === 'number') {
    return { type: Number.isInteger(value) ? 'uint32' : 'float32', value };
  }
  if (value instanceof Int32Array) return { type: 'int32s', value: [...value] };
  const texts = [...value].filter((one) => typeof one === 'string');
  if (texts.length < value.length) throw new Error(`${key}: a list of other than texts`);
  return { type: 'strings', value: texts };
}

function widened(input: number, { name, type, shape, offset, bytes }: StoredTensor): GgufTensor {
  const as = { name, dims: shape.toReversed(), type: 'F32' } as const;
  const read = (at: number, length: number): Uint8Array => {
    const piece = new Uint8Array(length);
    readSync(input, piece, 0, length, offset + at);
    return piece;
  };
  if (type === 'F32') return { ...as, data: () => [read(0, bytes)] };
  const format = PACKED_FORMATS.get(type);
  if (!format) throw new Error(`${name}: weights in ${type}`);
  return {
    ...as,
    data: function* () {
      const step = PIECE * format.blockBytes;
      for (let at = 0; at < bytes; at += step) {
        const blocks = read(at, Math.min(step, bytes - at));
        const unpacked = unpackedMemory(format, blocks.length / format.blockBytes);
        unpackBlocks(format, blocks, unpacked);
        const floats = Float32Array.from(unpacked.values, (value, i) => {
          const group = Math.floor(i / format.group);
          return unpacked.scales[group] * value + unpacked.least[group];
        });
        yield new Uint8Array(floats.buffer);
      }
    },
  };
}
