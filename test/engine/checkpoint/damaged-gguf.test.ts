import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readGguf } from '../../../engine/checkpoint/gguf.js';
import { readGgufCheckpoint } from '../../../engine/checkpoint/gguf-files.js';
import { ggufText } from '../../../engine/gguf/model-text.js';
import { openModel } from '../../../engine/model/open-model.js';
import {
  float,
  floats,
  gguf,
  ints,
  number,
  string,
  text,
  texts,
  typeId,
  u32,
  u64,
  type Value,
  type WrittenGguf,
} from '../../support/gguf.js';
import { processorMs } from '../../support/processor-time.js';

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

const SIZES = {
  block_count: 2,
  embedding_length: 8,
  feed_forward_length: 16,
  context_length: 64,
  'attention.head_count': 2,
  'attention.head_count_kv': 1,
};

/** Metadata of a small llama, some of it changed; null leaves a key out. */
const llama = (changes: Readonly<Record<string, Value | null>>): [string, Value][] =>
  Object.entries<Value | null>({
    'general.architecture': text('llama'),
    ...Object.fromEntries(
      Object.entries(SIZES).map(([key, value]) => [`llama.${key}`, number(value)]),
    ),
    'llama.attention.layer_norm_rms_epsilon': float(1e-5),
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('gpt-2'),
    'tokenizer.ggml.tokens': texts(['a', 'b', 'c', 'd']),
    'tokenizer.ggml.merges': texts([]),
    ...changes,
  }).flatMap(([key, value]) => (value === null ? [] : [[key, value] as [string, Value]]));

it.each([
  ['billions of layers', { 'llama.block_count': number(4e9) }, /block_count must be/],
  ['no layers', { 'llama.block_count': number(0) }, /block_count must be a whole number from 1/],
  ['half a layer', { 'llama.block_count': float(1.5) }, /block_count must be/],
  ['a size that is a text', { 'llama.embedding_length': text('8') }, /must be a number, got "8"/],
  ['sizes by layer of no layer', { 'llama.block_count': ints([]) }, /must be a number/],
  ['no heads', { 'llama.attention.head_count': number(0) }, /num_attention_heads must be/],
  [
    'heads that do not divide',
    { 'llama.attention.head_count': number(3), 'llama.attention.key_length': number(4) },
    /has the shape|lacks|num_key_value_heads|divisor/,
  ],
  [
    'billions of experts',
    { 'llama.expert_count': number(4e9), 'llama.expert_used_count': number(2) },
    /expert/,
  ],
  [
    'more experts a token than there are',
    { 'llama.expert_count': number(2), 'llama.expert_used_count': number(3) },
    /num_experts_per_tok must be at most 2/,
  ],
  [
    'an epsilon that is no number',
    { 'llama.attention.layer_norm_rms_epsilon': float(Number.NaN) },
    /must be a number/,
  ],
  [
    'a vocabulary of another size',
    { 'tokenizer.ggml.tokens': texts(['a']) },
    /lacks|has the shape/,
  ],
] as const)('refuses a model of %s in one line', async (_, changes, reason) => {
  const embedding = { name: 'token_embd.weight', shape: [4, 8], data: values };
  const file = written(gguf({ metadata: llama(changes), tensors: [embedding] }));
  let error = new Error('it was opened');
  const spent = await processorMs(async () => {
    error = (await openModel({ modelDir: file }).catch((e: unknown) => e)) as Error;
  });
  expect(error).toMatchObject({ name: 'OctavoError' });
  expect(error.message).toMatch(reason);
  expect(error.message.startsWith(`${file}: `)).toBe(true);
  expect(error.message).not.toContain('\n');
  expect(error.message.length).toBeLessThan(600);
  expect(spent).toBeLessThan(5000);
});

it.each([
  [
    'kinds of too few tokens',
    { 'tokenizer.ggml.token_type': ints([1]) },
    /must be a list of 4 numbers, got a list of 1/,
  ],
  [
    'tokens that are numbers',
    { 'tokenizer.ggml.tokens': ints([1, 2, 3, 4]) },
    /must be a list of texts/,
  ],
  ['no tokens', { 'tokenizer.ggml.tokens': null }, /must be a list of texts, got nothing/],
  ['merges that are no list', { 'tokenizer.ggml.merges': text('a b') }, /must be a list of texts/],
  ['a merge of one part', { 'tokenizer.ggml.merges': texts(['ab']) }, /merge/],
  ['an end that is no token', { 'tokenizer.ggml.eos_token_id': number(99) }, /eos_token_id/],
  [
    'a beginning below all',
    { 'tokenizer.ggml.bos_token_id': { type: 5, value: -1 } },
    /bos_token_id must be the number of a token, from 0 to 3, got -1/,
  ],
  ['an unknown kind', { 'tokenizer.ggml.model': text('wordpiece') }, /of the kind "wordpiece"/],
  [
    'scores of another length',
    { 'tokenizer.ggml.model': text('llama'), 'tokenizer.ggml.scores': floats([1]) },
    /must be a list of 4 numbers/,
  ],
] as const)('refuses a tokenizer of %s in one line', (_, changes, reason) => {
  const file = written(gguf({ metadata: llama(changes), tensors: [] }));
  let message = '';
  try {
    ggufText(file, 'tokenizer.json');
    ggufText(file, 'tokenizer_config.json');
    ggufText(file, 'generation_config.json');
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toMatch(reason);
  expect(message.startsWith(`${file}: `)).toBe(true);
  expect(message).not.toContain('\n');
});

it('refuses parts of a model that lead back to the first', () => {
  const first = written(gguf(good), 'model-00001-of-00002.gguf');
  symlinkSync(first, first.replace('00001', '00002'));
  expect(() => readGgufCheckpoint(first)).toThrow(
    'has the tensor a, which model-00001-of-00002.gguf has, too',
  );
  rmSync(first.replace('00001', '00002'));
  symlinkSync('model-00002-of-00002.gguf', first.replace('00001', '00002'));
  expect(() => readGgufCheckpoint(first)).toThrow('model-00002-of-00002.gguf: cannot be read');
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
  ['no sizes', good.metadata, 'llama.embedding_length must be a number, got nothing'],
] as const)('refuses %s by name', async (_, metadata, reason) => {
  const file = written(gguf({ ...good, metadata }));
  await expect(openModel({ modelDir: file })).rejects.toThrow(reason);
});
