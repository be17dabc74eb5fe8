import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PACKED_FORMATS } from '../../../engine/checkpoint/packed/index.js';
import { unpackBlocks, unpackedMemory } from '../../../engine/checkpoint/packed/packed-format.js';

const file = new URL('../../fixtures/gguf-blocks/golden.json', import.meta.url);
const golden = JSON.parse(readFileSync(file, 'utf8')) as Record<string, [string, string]>;

it('has a golden block of each format', () => {
  expect(Object.keys(golden).sort()).toEqual([...PACKED_FORMATS.keys()].sort());
});

it.each(Object.entries(golden))('%s holds what the gguf package reads in it', (name, texts) => {
  const [blocks, values] = texts.map((text) => Uint8Array.from(Buffer.from(text, 'base64')));
  const expected = new Float32Array(values.buffer);
  const format = PACKED_FORMATS.get(name);
  if (!format) throw new Error(name);
  const { blockBytes, blockSize, group, bits } = format;
  expect(blocks.length / blockBytes).toBe(expected.length / blockSize);
  const into = unpackedMemory(format, blocks.length / blockBytes);
  unpackBlocks(format, blocks, into);
  for (const [i, number] of into.values.entries()) {
    expect(number).toBeLessThan(2 ** bits);
    const s = Math.floor(i / group);
    const meant = into.scales[s] * number + into.least[s];
    expect(Math.abs(meant - expected[i])).toBeLessThan(
      1e-6 * 256 * Math.abs(into.scales[s]) + 1e-38,
    );
  }
});
