import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toFloat16 } from '../../engine/float16.js';
import {
  GGML_TYPES,
  type GgmlType,
  type GgufTensor,
  type GgufValue,
  ggufBytes,
  writeGguf,
} from './gguf-writer.js';
import { type DecoderShape, SHAPES, type ShapeName } from './shapes.js';
import { syntheticVocabulary } from './tokenizer.js';

export type GgufPrecision = 'Q4_0' | 'Q8_0';

/** Blocks that are made once and repeated; a prime, so that rows differ. */
const PATTERN_BLOCKS = 65_537;

/** Of the values of a block, which are spread evenly. */
const VALUE_DEVIATION: Readonly<Record<GgufPrecision, number>> = {
  Q4_0: 16 / Math.sqrt(12),
  Q8_0: 256 / Math.sqrt(12),
};

/**
 * The GGUF twin of `ensureModel`: the same shape with random weights, every matrix in blocks of 4
 * or 8 bits (the output matrix too, which llama.cpp's own tool would leave at 6 or 8).
 *
 * @returns the file
 */
export function ensureGguf(name: ShapeName, precision: GgufPrecision): string {
  const directory = fileURLToPath(new URL(`./generated/${name}`, import.meta.url));
  const path = `${directory}/${precision}.gguf`;
  if (existsSync(path)) return path;
  mkdirSync(directory, { recursive: true });
  const shape: DecoderShape = SHAPES[name];
  writeGguf(`${path}.tmp`, metadataOf(shape, name, precision), tensorsOf(shape, precision));
  renameSync(`${path}.tmp`, path);
  return path;
}

/** The architecture of Qwen2 has a bias for query, key and value; Llama's has none. */
function metadataOf(
  shape: DecoderShape,
  name: string,
  precision: GgufPrecision,
): Record<string, GgufValue> {
  const architecture = shape.qkvBias ? 'qwen2' : 'llama';
  const uint32 = (value: number): GgufValue => ({ type: 'uint32', value });
  const float32 = (value: number): GgufValue => ({ type: 'float32', value });
  const string = (value: string): GgufValue => ({ type: 'string', value });
  const tokens = syntheticVocabulary(shape.vocab);
  return {
    'general.architecture': string(architecture),
    'general.name': string(`${name}, random weights`),
    'general.file_type': uint32(precision === 'Q4_0' ? 2 : 7),
    [`${architecture}.context_length`]: uint32(shape.context),
    [`${architecture}.embedding_length`]: uint32(shape.hidden),
    [`${architecture}.block_count`]: uint32(shape.layers),
    [`${architecture}.feed_forward_length`]: uint32(shape.mlp),
    [`${architecture}.attention.head_count`]: uint32(shape.heads),
    [`${architecture}.attention.head_count_kv`]: uint32(shape.kvHeads),
    [`${architecture}.attention.key_length`]: uint32(shape.headSize),
    [`${architecture}.attention.value_length`]: uint32(shape.headSize),
    [`${architecture}.attention.layer_norm_rms_epsilon`]: float32(1e-6),
    [`${architecture}.rope.dimension_count`]: uint32(shape.headSize),
    [`${architecture}.rope.freq_base`]: float32(shape.ropeTheta),
    'tokenizer.ggml.model': string('gpt2'),
    'tokenizer.ggml.pre': string('qwen2'),
    'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
    'tokenizer.ggml.token_type': { type: 'int32s', value: tokens.map(() => 1) },
    // llama.cpp wants merges; one that never applies.
    'tokenizer.ggml.merges': { type: 'strings', value: ['Ġ a'] },
  };
}

function tensorsOf(shape: DecoderShape, precision: GgufPrecision): GgufTensor[] {
  const { hidden, mlp, vocab, heads, kvHeads, headSize } = shape;
  const blocks = new BlockSource(precision);
  const matrix = (name: string, from: number, to: number, deviation?: number): GgufTensor => {
    const tensor = { name: `${name}.weight`, dims: [from, to], type: precision };
    const scale = (deviation ?? 1 / Math.sqrt(from)) / VALUE_DEVIATION[precision];
    return { ...tensor, data: () => blocks.take(ggufBytes(tensor), scale) };
  };
  const vector = (name: string, size: number, value: number): GgufTensor => {
    const bytes = new Uint8Array(new Float32Array(size).fill(value).buffer);
    return { name, dims: [size], type: 'F32' satisfies GgmlType, data: () => [bytes] };
  };
  const layers = Array.from({ length: shape.layers }, (_, layer) => {
    const path = `blk.${layer}`;
    const projections = (['q', 'k', 'v'] as const).flatMap((part) => {
      const width = (part === 'q' ? heads : kvHeads) * headSize;
      const weight = matrix(`${path}.attn_${part}`, hidden, width);
      return shape.qkvBias ? [weight, vector(`${path}.attn_${part}.bias`, width, 0.05)] : [weight];
    });
    return [
      vector(`${path}.attn_norm.weight`, hidden, 1),
      ...projections,
      matrix(`${path}.attn_output`, heads * headSize, hidden, 1 / Math.sqrt(hidden)),
      vector(`${path}.ffn_norm.weight`, hidden, 1),
      matrix(`${path}.ffn_gate`, hidden, mlp),
      matrix(`${path}.ffn_up`, hidden, mlp),
      matrix(`${path}.ffn_down`, mlp, hidden),
    ];
  });
  return [
    matrix('token_embd', hidden, vocab, 0.02),
    ...layers.flat(),
    vector('output_norm.weight', hidden, 1),
    matrix('output', hidden, vocab, 0.02),
  ];
}

/**
 * Random blocks: a half-precision scale, then 32 values of 4 or 8 bits. Each tensor goes on where
 * the last one ended.
 */
class BlockSource {
  readonly #bytes: number;
  readonly #pattern: Uint8Array;
  #phase = 0;

  constructor(precision: GgufPrecision) {
    this.#bytes = GGML_TYPES[precision].blockBytes;
    let state = 1;
    this.#pattern = Uint8Array.from({ length: PATTERN_BLOCKS * this.#bytes }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    });
  }

  *take(bytes: number, scale: number): Generator<Uint8Array> {
    const pattern = this.#pattern.slice();
    const half = toFloat16(scale);
    for (let at = 0; at < pattern.length; at += this.#bytes) {
      pattern[at] = half & 0xff;
      pattern[at + 1] = half >>> 8;
    }
    for (let left = bytes; left > 0; ) {
      const piece = pattern.subarray(this.#phase, this.#phase + left);
      yield piece;
      left -= piece.length;
      this.#phase = (this.#phase + piece.length) % pattern.length;
    }
  }
}
