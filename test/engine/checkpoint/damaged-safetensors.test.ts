import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openModel } from '../../../engine/model/open-model.js';
import { checkpointDir } from '../../support/checkpoint-fixtures.js';
import { withHeader } from '../../support/safetensors.js';

const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const EMBEDDING = 'model.embed_tokens.weight';

interface Entry {
  dtype: unknown;
  shape: unknown;
  data_offsets: unknown;
}

/** A copy of a checkpoint, gone when the test is over. */
function copy(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  cpSync(checkpointDir(name), dir, { recursive: true });
  return dir;
}

type Header = Record<string, Entry>;
type Rewrite = (header: Header, data: Buffer) => Header | string | undefined;

/** Changes the header of the weights, or replaces its text. */
const header =
  (rewrite: Rewrite) =>
  (dir: string): void => {
    const file = join(dir, WEIGHTS);
    const bytes = readFileSync(file);
    const length = Number(bytes.readBigUInt64LE());
    const parsed = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Header;
    const data = bytes.subarray(8 + length);
    const made = rewrite(parsed, data) ?? parsed;
    writeFileSync(file, withHeader(typeof made === 'string' ? made : JSON.stringify(made), data));
  };

const entry = (change: (of: Entry) => void): ((dir: string) => void) =>
  header((all) => {
    change(all[EMBEDDING]);
    return all;
  });

/** Changes the bytes of the weights. */
const bytes =
  (change: (all: Buffer) => Uint8Array) =>
  (dir: string): void => {
    const file = join(dir, WEIGHTS);
    writeFileSync(file, change(readFileSync(file)));
  };

const config =
  (change: (all: Record<string, unknown>) => void) =>
  (dir: string): void => {
    const file = join(dir, 'config.json');
    const all = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    change(all);
    writeFileSync(file, JSON.stringify(all));
  };

const DAMAGES: readonly (readonly [string, (dir: string) => void, RegExp])[] = [
  ['empty', bytes(() => Buffer.alloc(0)), /has 0 bytes; a safetensors file begins with 8/],
  ['a pointer of git-lfs', bytes(() => Buffer.from('version https://git-lfs')), /git lfs pull/],
  [
    'cut inside of its header',
    bytes((all) => all.subarray(0, 500)),
    /ends at byte 500, inside of its/,
  ],
  [
    'cut inside of its data',
    bytes((all) => all.subarray(0, -10)),
    /ends at byte \d+ of the data, but the file has only/,
  ],
  [
    'longer than its tensors',
    bytes((all) => Buffer.concat([all, Buffer.alloc(3)])),
    /its last 3 bytes belong to no tensor/,
  ],
  [
    'with a header of 9 exabytes',
    bytes((all) => {
      all.writeBigUInt64LE(2n ** 63n);
      return all;
    }),
    /a header of 9223372036854776000 bytes; at most 100000000/,
  ],
  ['with a header of no text', header(() => '\xff\xfe\0'), /a header that is not JSON$/],
  [
    'with a header of half an object',
    header((all) => JSON.stringify(all).slice(0, -1)),
    /a header that is not JSON$/,
  ],
  ['with a header of a list', header(() => '[]'), /a header that is not a JSON object/],
  [
    'with a header of many lists',
    header(() => '['.repeat(100_000) + ']'.repeat(100_000)),
    /not a JSON object/,
  ],
  [
    'with a tensor twice',
    header((all) => JSON.stringify(all).replace('"model.norm.weight"', `"${EMBEDDING}"`)),
    /names the tensor model\.embed_tokens\.weight twice/,
  ],
  [
    'with a tensor twice, once escaped',
    header((all) =>
      JSON.stringify(all).replace('"model.norm.weight"', '"\\u006dodel.embed_tokens.weight"'),
    ),
    /names the tensor model\.embed_tokens\.weight twice/,
  ],
  [
    'with a tensor that is a number',
    header((all) => ({ ...all, [EMBEDDING]: 3 as unknown as Entry })),
    /states no dtype/,
  ],
  [
    'with a tensor of null',
    header((all) => ({ ...all, [EMBEDDING]: null as unknown as Entry })),
    /states no dtype/,
  ],
  ['with an unknown type', entry((of) => (of.dtype = 'F7')), /has the unknown dtype F7/],
  [
    'with a type that is inherited',
    entry((of) => (of.dtype = 'constructor')),
    /has the unknown dtype constructor/,
  ],
  [
    'with a shape of text',
    entry((of) => (of.shape = ['64', 32])),
    /states no shape of whole numbers/,
  ],
  [
    'with a negative size',
    entry((of) => (of.shape = [-64, 32])),
    /states no shape of whole numbers/,
  ],
  [
    'with absurd sizes',
    entry((of) => (of.shape = [2 ** 50, 2 ** 50])),
    /has \d+ bytes; its shape \[.*\] of BF16 needs 2\.5/,
  ],
  [
    'with another shape',
    entry((of) => (of.shape = [64, 31])),
    /has 4096 bytes; its shape \[64, 31\] of BF16 needs 3968/,
  ],
  [
    'with three offsets',
    entry((of) => (of.data_offsets = [0, 1, 2])),
    /states no data_offsets of two/,
  ],
  [
    'with offsets backwards',
    entry((of) => (of.data_offsets = [4096, 0])),
    /ends at byte 0 of the data, before it begins at 4096/,
  ],
  [
    'with offsets beyond the file',
    entry((of) => (of.data_offsets = [2 ** 40, 2 ** 40 + 4096])),
    /but the file has only/,
  ],
  [
    'with offsets in fractions',
    entry((of) => (of.data_offsets = [0.5, 4096.5])),
    /states no data_offsets of two whole/,
  ],
  [
    'with tensors that overlap',
    header((all) => {
      all['model.norm.weight'].data_offsets = [0, 64];
      return all;
    }),
    /begins at byte \d+ of the data, inside of tensor/,
  ],
  [
    'with a hole between tensors',
    header((all) => {
      delete all['model.norm.weight'];
      return all;
    }),
    /bytes before it belong to no tensor|its last 64 bytes belong to no tensor/,
  ],
  [
    'with a name of two lines',
    header((all) => {
      const { [EMBEDDING]: first, ...rest } = all;
      return { 'a\nb': { ...first, dtype: 'F7' }, ...rest };
    }),
    /tensor "a\\nb" has the unknown dtype/,
  ],
  [
    'without a weight',
    header((all) => JSON.stringify(all).replace('"model.norm.weight"', '"model.other.weight"')),
    /lacks model\.norm\.weight, which a model of the family llama/,
  ],
  [
    'with weights of another size',
    config((all) => (all['vocab_size'] = 65)),
    /embed_tokens\.weight has the shape \[64, 32\]; config\.json makes it \[65, 32\]/,
  ],
  [
    'with a size of zero',
    config((all) => (all['hidden_size'] = 0)),
    /hidden_size must be a whole number above 0, got 0/,
  ],
  [
    'with billions of layers',
    config((all) => (all['num_hidden_layers'] = 4e9)),
    /num_hidden_layers must be at most 4096, got 4000000000/,
  ],
  [
    'with a size of text',
    config((all) => (all['num_attention_heads'] = '4')),
    /num_attention_heads must be a number, got "4"/,
  ],
  [
    'with a config.json of a list',
    (dir) => writeFileSync(join(dir, 'config.json'), '[]'),
    /must hold a JSON object/,
  ],
];

async function failure(dir: string): Promise<{ kind: string; message: string }> {
  const error: unknown = await openModel({ modelDir: dir, maxLength: 64 }).catch((e: unknown) => e);
  expect(error).toMatchObject({ name: 'OctavoError' });
  return error as { kind: string; message: string };
}

it.each(DAMAGES)('a checkpoint %s is refused in one line', async (_, damage, reason) => {
  const dir = copy('llama2');
  damage(dir);
  const { kind, message } = await failure(dir);
  expect(kind).toBe('model_file_corrupt');
  expect(message).toMatch(reason);
  expect(message.startsWith(dir)).toBe(true);
  expect(message).not.toContain('\n');
});

it('a checkpoint with weights that its description does not know is refused', async () => {
  const dir = copy('qwen2');
  config((all) => Object.assign(all, { model_type: 'llama' }))(dir);
  const { kind, message } = await failure(dir);
  expect(kind).toBe('model_unsupported');
  expect(message).toMatch(
    /has model\.layers\.0\.self_attn\.k_proj\.bias, .* and 3 more weights, of which/,
  );
});

const index =
  (change: (map: Record<string, unknown>) => void) =>
  (dir: string): void => {
    const file = join(dir, INDEX);
    const all = JSON.parse(readFileSync(file, 'utf8')) as { weight_map: Record<string, unknown> };
    change(all.weight_map);
    writeFileSync(file, JSON.stringify(all));
  };

const indexText =
  (text: string) =>
  (dir: string): void =>
    writeFileSync(join(dir, INDEX), text);

const PARTS: readonly (readonly [string, (dir: string) => void, string, RegExp])[] = [
  ['of no JSON', indexText('{'), 'model_file_corrupt', /index\.json: is not JSON/],
  ['without a map', indexText('{}'), 'model_file_corrupt', /has no weight_map/],
  [
    'with a part outside',
    index((map) => (map[EMBEDDING] = '../x.safetensors')),
    'model_file_corrupt',
    /in "\.\.\/x\.safetensors"; expected a \.safetensors file beside it/,
  ],
  [
    'with a part that is missing',
    (dir) => rmSync(join(dir, 'model-00002-of-00002.safetensors')),
    'model_file_missing',
    /model-00002-of-00002\.safetensors: cannot be read/,
  ],
  [
    'with a tensor in another part',
    index((map) => (map[EMBEDDING] = 'model-00002-of-00002.safetensors')),
    'model_file_corrupt',
    /has the tensor model\.embed_tokens\.weight, but the index has it in model-00002/,
  ],
  [
    'with a tensor too many',
    index((map) => (map['x'] = 'model-00002-of-00002.safetensors')),
    'model_file_corrupt',
    /names the tensor x in model-00002-of-00002\.safetensors, which has no such/,
  ],
  [
    'without a tensor',
    index((map) => delete map[EMBEDDING]),
    'model_file_corrupt',
    /has the tensor model\.embed_tokens\.weight, but the index does not name it/,
  ],
];

it.each(PARTS)('an index %s is refused in one line', async (_, damage, expected, reason) => {
  const dir = copy('qwen2');
  damage(dir);
  const { kind, message } = await failure(dir);
  expect(kind).toBe(expected);
  expect(message).toMatch(reason);
  expect(message).not.toContain('\n');
});
