import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKED_FORMATS } from '../../engine/checkpoint/packed/index.js';
import { unpackBlocks, unpackedMemory } from '../../engine/checkpoint/packed/packed-format.js';
import { asGguf } from './checkpoint-as-gguf.js';
import { safetensors } from './safetensors.js';

const HIDDEN = 256;
const VOCAB = 64;
const CONFIG = {
  model_type: 'qwen2',
  vocab_size: VOCAB,
  hidden_size: HIDDEN,
  intermediate_size: 256,
  num_hidden_layers: 1,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  head_dim: 32,
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
/** Numbers that follow from a seed, in [0, 1). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** High bytes of float16 scales, where numbers are larger than those of 4 bits. */
const SMALLER: Readonly<Record<string, number>> = {
  Q5_0: 0x1c,
  Q5_1: 0x1c,
  Q8_0: 0x10,
  IQ4_NL: 0x10,
};

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
    if (name === 'MXFP4') data[at] = 119;
    // Weights of about 0.1, whatever numbers the scale multiplies.
    else
      for (const place of halves[name] ?? [0])
        data.set([0, blockSize === 256 ? 0x04 : (SMALLER[name] ?? 0x20)], at + place);
  }
  const into = unpackedMemory(format, count / blockSize);
  unpackBlocks(format, data, into);
  const floats = Float32Array.from(into.values, (v, i) => {
    const s = Math.floor(i / group);
    return into.scales[s] * v + into.least[s];
  });
  return { data, floats };
}

/**
 * Writes a decoder of one layer with random weights into a directory: as `model.gguf` in a packed
 * format, and as `model.safetensors` with the floats that it means.
 *
 * @returns the path of the GGUF file
 */
export async function packedGguf(dir: string, type: string): Promise<string> {
  const packed = new Map<string, Uint8Array>();
  const shapes: [string, number[]][] = [
    ['model.embed_tokens.weight', [VOCAB, HIDDEN]],
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
  return file;
}
