import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type GgufTensor, writeGguf } from '../../../bench/models/gguf-writer.js';
import { syntheticVocabulary } from '../../../bench/models/tokenizer.js';
import { toFloat16 } from '../../../engine/float16.js';
import { modelDir } from '../../support/model-dir.js';

/** Reads what the format's description says, by other means than the writer's. */
class Reader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(): number {
    return this.#view.getUint32((this.at += 4) - 4, true);
  }

  u64(): number {
    return Number(this.#view.getBigUint64((this.at += 8) - 8, true));
  }

  string(): string {
    const length = this.u64();
    return Buffer.from(this.#bytes.subarray(this.at, (this.at += length))).toString();
  }

  value(type: number): unknown {
    switch (type) {
      case 4:
        return this.u32();
      case 5:
        return this.#view.getInt32((this.at += 4) - 4, true);
      case 6:
        return this.#view.getFloat32((this.at += 4) - 4, true);
      case 8:
        return this.string();
      case 9: {
        const element = this.u32();
        return Array.from({ length: this.u64() }, () => this.value(element));
      }
      default:
        throw new Error(`type ${type}`);
    }
  }
}

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

describe('GGUF', () => {
  const tensors: GgufTensor[] = [
    { name: 'a', dims: [3], type: 'F32', data: () => [bytes(12, 1)] },
    { name: 'b', dims: [32, 2], type: 'Q4_0', data: () => [bytes(18, 2), bytes(18, 3)] },
    { name: 'c', dims: [64], type: 'Q8_0', data: () => [bytes(68, 4)] },
  ];

  test('header, metadata, tensor table and data are read back', () => {
    const path = join(modelDir({}), 'x.gguf');
    const words = Array.from({ length: 30_000 }, (_, i) => `wörd${i}`);
    writeGguf(
      path,
      {
        'general.architecture': { type: 'string', value: 'qwen2' },
        count: { type: 'uint32', value: 7 },
        less: { type: 'int32', value: -7 },
        eps: { type: 'float32', value: 0.5 },
        // Longer than the writer's first buffer.
        words: { type: 'strings', value: words },
        kinds: { type: 'int32s', value: [1, -2] },
      },
      tensors,
    );
    const file = readFileSync(path);
    const reader = new Reader(file);
    expect(file.subarray(0, 4).toString()).toBe('GGUF');
    reader.at = 4;
    expect([reader.u32(), reader.u64(), reader.u64()]).toEqual([3, 3, 6]);
    const metadata = Array.from({ length: 6 }, () => [reader.string(), reader.value(reader.u32())]);
    expect(Object.fromEntries(metadata)).toEqual({
      'general.architecture': 'qwen2',
      count: 7,
      less: -7,
      eps: 0.5,
      words,
      kinds: [1, -2],
    });
    const table = Array.from({ length: 3 }, () => ({
      name: reader.string(),
      dims: Array.from({ length: reader.u32() }, () => reader.u64()),
      type: reader.u32(),
      offset: reader.u64(),
    }));
    expect(table).toEqual([
      { name: 'a', dims: [3], type: 0, offset: 0 },
      { name: 'b', dims: [32, 2], type: 2, offset: 32 },
      { name: 'c', dims: [64], type: 8, offset: 96 },
    ]);
    const data = file.subarray(Math.ceil(reader.at / 32) * 32);
    expect([...data.subarray(0, 13)]).toEqual([...bytes(12, 1), 0]);
    expect([...data.subarray(32, 69)]).toEqual([...bytes(18, 2), ...bytes(18, 3), 0]);
    expect([...data.subarray(96, 164)]).toEqual([...bytes(68, 4)]);
    expect(data).toHaveLength(192);
  });

  test('data of the wrong length is an error', () => {
    const path = join(modelDir({}), 'x.gguf');
    const short = { ...tensors[0], data: () => [bytes(8, 0)] };
    expect(() => writeGguf(path, {}, [short])).toThrow('a: 8 bytes instead of 12');
  });

  test('half precision', () => {
    expect([1, 0.5, 2, 1.5, 0.1, 65504].map(toFloat16)).toEqual([
      0x3c00, 0x3800, 0x4000, 0x3e00, 0x2e66, 0x7bff,
    ]);
  });
});

test('a synthetic vocabulary has all bytes, then words that differ', () => {
  const vocabulary = syntheticVocabulary(20_000);
  expect(vocabulary).toHaveLength(20_000);
  expect(new Set(vocabulary).size).toBe(20_000);
  expect(vocabulary.slice(256, 259)).toEqual(['Ġa', 'Ġb', 'Ġc']);
  expect(vocabulary[256 + 26]).toBe('Ġaa');
});
