import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { PACKED_FORMATS } from '../../../engine/checkpoint/packed/index.js';
import { unpackBlocks, unpackedMemory } from '../../../engine/checkpoint/packed/packed-format.js';
import { findModel } from '../../../engine/hub/find-model.js';
import { asGguf } from '../../support/checkpoint-as-gguf.js';
import { ExportRunner } from '../../support/export-fixtures.js';
import { safetensors } from '../../support/safetensors.js';

const HIDDEN = 256;
const CONFIG = {
  model_type: 'qwen2',
  vocab_size: 32,
  hidden_size: HIDDEN,
  intermediate_size: 256,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  head_dim: 64,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: true,
};
const MATRICES = {
  'self_attn.q_proj': HIDDEN,
  'self_attn.k_proj': HIDDEN,
  'self_attn.v_proj': HIDDEN,
  'self_attn.o_proj': HIDDEN,
  'mlp.gate_proj': HIDDEN,
  'mlp.up_proj': HIDDEN,
  'mlp.down_proj': HIDDEN,
};
const observer = { log: () => undefined, progress: () => undefined };

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Numbers that follow from a seed, in [0, 1). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Random blocks of a format with scales of about 1 / 100, and the floats that they mean. */
function blocks(name: string, count: number, seed: number) {
  const format = PACKED_FORMATS.get(name);
  if (!format) throw new Error(name);
  const next = random(seed);
  const { blockBytes, blockSize, group } = format;
  const data = Uint8Array.from({ length: (count / blockSize) * blockBytes }, () =>
    Math.floor(next() * 256),
  );
  const halves: Record<string, number[]> = {
    Q4_1: [0, 2],
    Q2_K: [80, 82],
    Q3_K: [108],
    Q4_K: [0, 2],
    Q5_K: [0, 2],
    Q6_K: [208],
    Q5_1: [0, 2],
  };
  for (let at = 0; at < data.length; at += blockBytes) {
    if (name === 'MXFP4') data[at] = 121;
    // About 0.002 for scales that have scales, else 0.01.
    else
      for (const place of halves[name] ?? [0])
        data.set([0, blockSize === 256 ? 0x04 : 0x20], at + place);
  }
  const into = unpackedMemory(format, count / blockSize);
  unpackBlocks(format, data, into);
  const floats = Float32Array.from(into.values, (v, i) => {
    const s = Math.floor(i / group);
    return into.scales[s] * v + into.least[s];
  });
  return { data, floats };
}

it.each([...PACKED_FORMATS.keys()])(
  'computes with weights of %s as with the floats that they mean',
  async (type) => {
    const dir = directory();
    const packed = new Map<string, Uint8Array>();
    const shapes: [string, number[]][] = [
      ['model.embed_tokens.weight', [32, HIDDEN]],
      ...Object.keys(MATRICES).map((name): [string, number[]] => [
        `model.layers.0.${name}.weight`,
        [HIDDEN, HIDDEN],
      ]),
    ];
    const tensors = shapes.map(([name, shape], i) => {
      const { data, floats } = blocks(type, shape[0] * shape[1], i + 1);
      packed.set(Buffer.from(floats.buffer).toString('base64', 0, 64), data);
      return { name, shape, values: floats };
    });
    const vectors = [
      'self_attn.q_proj.bias',
      'self_attn.k_proj.bias',
      'self_attn.v_proj.bias',
      'input_layernorm.weight',
      'post_attention_layernorm.weight',
    ];
    const ones = [...vectors.map((name) => `model.layers.0.${name}`), 'model.norm.weight'].map(
      (name) => ({
        name,
        shape: [HIDDEN],
        values: new Float32Array(HIDDEN).fill(name.endsWith('bias') ? 0 : 1),
      }),
    );
    writeFileSync(join(dir, 'model.safetensors'), safetensors([...tensors, ...ones]));
    writeFileSync(join(dir, 'config.json'), JSON.stringify(CONFIG));
    const file = join(dir, 'model.gguf');
    const pack = (_: string, values: Float32Array) => {
      const data = packed.get(Buffer.from(values.buffer).toString('base64', 0, 64));
      return data ? { type, data } : null;
    };
    writeFileSync(
      file,
      await asGguf(dir, 'model.safetensors', CONFIG, { architecture: 'qwen2' }, pack),
    );
    const run = async (model: string, options = {}) => {
      const runner = await ExportRunner.load(model, options);
      onTestFinished(() => runner.dispose());
      return (await runner.generate([[1, 5, 9, 3, 17, 30]], 4, 24))[0];
    };
    const expected = await run(dir);
    const cacheDir = join(dir, 'cache');
    mkdirSync(cacheDir);
    const size = Math.max(...expected.first.map(Math.abs));
    for (const options of [{}, { widen: { cacheDir } }]) {
      const { first } = await run(file, options);
      const worst = first.reduce((max, x, i) => Math.max(max, Math.abs(x - expected.first[i])), 0);
      expect(worst / size).toBeLessThan(2e-3);
    }
  },
);

it('finds the one GGUF file of a directory, and the first of its parts', async () => {
  const find = (path: string) => findModel(path, '--model', { dtype: 'auto' }, observer);
  const dir = directory();
  for (const name of ['m-00001-of-00002.gguf', 'm-00002-of-00002.gguf', 'mmproj-m.gguf']) {
    writeFileSync(join(dir, name), '');
  }
  expect((await find(dir)).dir).toBe(join(dir, 'm-00001-of-00002.gguf'));
  expect(await find(join(dir, 'm-00001-of-00002.gguf'))).toEqual({
    dir: join(dir, 'm-00001-of-00002.gguf'),
    names: ['m'],
  });
  writeFileSync(join(dir, 'other.gguf'), '');
  await expect(find(dir)).rejects.toThrow(
    'has 2 GGUF models; name one of the files: m-00001-of-00002.gguf, other.gguf',
  );
});
