import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readGguf } from '../../../engine/checkpoint/gguf.js';
import { readGgufCheckpoint } from '../../../engine/checkpoint/gguf-files.js';
import { openModel } from '../../../engine/model/open-model.js';
import {
  gguf,
  number,
  string,
  text,
  typeId,
  u32,
  u64,
  type WrittenGguf,
} from '../../support/gguf.js';

const values = new Uint8Array(Float32Array.from({ length: 32 }, (_, i) => i).buffer);
const tensor = { name: 'a', shape: [4, 8], data: values };
const good: WrittenGguf = {
  metadata: [['general.architecture', text('llama')]],
  tensors: [tensor, { ...tensor, name: 'b' }],
};
/** A header with these counts, and what follows. */
const raw = (tensors: number, keys: number, ...rest: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(keys), ...rest, Buffer.alloc(64)]);
const list = (depth: number): Buffer =>
  depth === 0
    ? Buffer.concat([u32(4), u64(1), u32(7)])
    : Buffer.concat([u32(9), u64(1), list(depth - 1)]);

const DAMAGED: readonly (readonly [string, Buffer, string])[] = [
  ['nothing', Buffer.alloc(0), 'has 0 bytes'],
  ['another format', Buffer.alloc(100, 'x'), 'does not begin with GGUF'],
  [
    'a pointer of git-lfs',
    Buffer.from('version https://git-lfs.github.com/spec/v1'),
    'git lfs pull',
  ],
  ['version 1', gguf({ ...good, version: 1 }), 'has the version 1; versions 2 and 3 are read'],
  ['big-endian', gguf({ ...good, version: 0x03000000 }), 'is big-endian'],
  ['too many tensors', gguf({ ...good, tensorCount: 2 ** 40 }), 'states 1099511627776 tensors'],
  ['too many keys', gguf({ ...good, keyCount: 2 ** 19 }), 'states 524288 keys'],
  ['a key more', gguf({ ...good, keyCount: 2 }), 'states a text of'],
  ['a tensor more', gguf({ ...good, tensorCount: 3 }), 'has 0 dimensions'],
  ['cut in a key', gguf(good).subarray(0, 40), 'states a text of 20 bytes'],
  ['cut in the data', gguf(good).subarray(0, -40), 'the file has'],
  [
    'a key twice',
    gguf({
      ...good,
      metadata: [
        ['a', number(1)],
        ['a', number(2)],
      ],
    }),
    'has the key a twice',
  ],
  ['a tensor twice', gguf({ ...good, tensors: [tensor, tensor] }), 'has the tensor a twice'],
  [
    'a long text',
    raw(0, 1, string('k'), u32(8), u64(2 ** 50)),
    'key k states a text of 1125899906842624 bytes',
  ],
  [
    'a long list',
    raw(0, 1, string('k'), u32(9), u32(4), u64(2 ** 40)),
    'key k states 1099511627776 elements',
  ],
  ['an unknown type of value', raw(0, 1, string('k'), u32(99)), 'key k has the unknown type 99'],
  [
    'an unknown type of elements',
    raw(0, 1, string('k'), u32(9), u32(99), u64(2)),
    'key k has the unknown type 99',
  ],
  ['deep lists', raw(0, 1, string('k'), u32(9), list(9)), 'key k has lists in lists'],
  [
    'no dimensions',
    gguf({ ...good, tensors: [{ ...tensor, shape: [] }] }),
    'tensor a has 0 dimensions',
  ],
  [
    'nine dimensions',
    gguf({ ...good, tensors: [{ ...tensor, shape: Array(9).fill(1) }] }),
    'has 9 dimensions',
  ],
  [
    'a huge shape',
    gguf({ ...good, tensors: [{ ...tensor, shape: [2 ** 40, 2 ** 40] }] }),
    'larger than any file',
  ],
  [
    'an unknown type',
    gguf({ ...good, tensors: [{ ...tensor, type: 77 }] }),
    'tensor a has the unknown type 77',
  ],
  [
    'a part of a block',
    gguf({ ...good, tensors: [{ ...tensor, type: typeId('Q4_0') }] }),
    'rows of 8; Q4_0 has blocks of 32',
  ],
  [
    'an offset between',
    gguf({ ...good, tensors: [{ ...tensor, offset: 8 }] }),
    'no multiple of 32',
  ],
  [
    'an offset outside',
    gguf({ ...good, tensors: [{ ...tensor, offset: 2 ** 50 }] }),
    'it is cut short',
  ],
  [
    'tensors that overlap',
    gguf({ ...good, tensors: [tensor, { ...tensor, name: 'b', offset: 32 }] }),
    'inside of tensor a',
  ],
  [
    'a wrong alignment',
    gguf({ ...good, metadata: [['general.alignment', number(24)]] }),
    'must be a power of 2, got 24',
  ],
  [
    'no alignment',
    gguf({ ...good, metadata: [['general.alignment', number(0)]] }),
    'must be a power of 2, got 0',
  ],
];

function written(bytes: Uint8Array, name = 'model.gguf'): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
}

it('reads a file without damage', () => {
  const file = written(gguf({ ...good, version: 2 }));
  const { metadata, tensors } = readGguf(file);
  expect([...metadata]).toEqual([['general.architecture', 'llama']]);
  expect(tensors.map(({ name, shape, bytes }) => [name, shape, bytes])).toEqual([
    ['a', [4, 8], 128],
    ['b', [4, 8], 128],
  ]);
  expect(tensors[1].offset - tensors[0].offset).toBe(128);
});

it.each(DAMAGED)('refuses %s in one line', (_, bytes, reason) => {
  const file = written(bytes);
  let message = '';
  try {
    readGguf(file);
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain(reason);
  expect(message.startsWith(`${file}: `)).toBe(true);
  expect(message).not.toContain('\n');
  expect(message.length).toBeLessThan(400);
});

it('refuses any cut of a file', () => {
  const whole = gguf(good);
  for (let length = 0; length < whole.length; length += 7) {
    const file = written(whole.subarray(0, length));
    expect(() => readGguf(file)).toThrow(file);
  }
});

it('names the first part when another is given, and parts that are missing', () => {
  const later = written(gguf(good), 'model-00002-of-00003.gguf');
  expect(() => readGgufCheckpoint(later)).toThrow('name the first, model-00001-of-00003.gguf');
  const first = written(gguf(good), 'model-00001-of-00002.gguf');
  expect(() => readGgufCheckpoint(first)).toThrow('model-00002-of-00002.gguf: cannot be read');
  const renamed = written(gguf({ ...good, metadata: [['split.count', number(2)]] }));
  expect(() => readGgufCheckpoint(renamed)).toThrow('is one of 2 parts of a model');
});

it.each([
  [
    'an architecture that is not known',
    [['general.architecture', text('mamba')]],
    'has the architecture "mamba", which is not known',
  ],
  ['no architecture', [], 'general.architecture must be a text, got nothing'],
  ['no sizes', good.metadata, 'llama.block_count must be a number, got nothing'],
] as const)('refuses %s by name', async (_, metadata, reason) => {
  const file = written(gguf({ ...good, metadata }));
  await expect(openModel({ modelDir: file })).rejects.toThrow(reason);
});
