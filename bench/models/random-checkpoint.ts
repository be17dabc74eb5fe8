import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import { weightsOf } from '../../engine/architectures/check-weights.js';
import { Config } from '../../engine/architectures/config.js';
import type { Weight } from '../../engine/architectures/decoder.js';
import { describe } from '../../engine/architectures/describe-model.js';
import { noise } from '../../engine/noise.js';
import { configOf, SHAPES, type ShapeName } from './shapes.js';
import { ensureTokenizer } from './tokenizer.js';

/** Bytes of a number. */
const BYTES = { F32: 4, BF16: 2 } as const;
type NumberType = keyof typeof BYTES;

/** Numbers that are made once and repeated; a prime, so that rows differ. */
const PATTERN_LENGTH = 1_048_573;

/**
 * A checkpoint of a published shape with random weights and a tokenizer, in the layout of the hub.
 *
 * @param type of its numbers
 * @returns its directory
 */
export function ensureShape(name: ShapeName, type: NumberType = 'F32'): string {
  const shape = SHAPES[name];
  const { qkvBias } = shape;
  const config = {
    architectures: [qkvBias ? 'Qwen2ForCausalLM' : 'LlamaForCausalLM'],
    model_type: qkvBias ? 'qwen2' : 'llama',
    ...configOf(shape),
    tie_word_embeddings: false,
  };
  const directory = ensureCheckpoint(type === 'F32' ? name : `${name}-bf16`, config, type);
  ensureTokenizer(directory, shape.vocab);
  return directory;
}

/**
 * A checkpoint of weights that look random, of whatever a configuration describes: made on first
 * use, and kept in bench/models/generated.
 *
 * @param type of its numbers
 * @returns its directory
 */
export function ensureCheckpoint(
  name: string,
  config: Readonly<Record<string, unknown>>,
  type: NumberType = 'F32',
): string {
  const directory = fileURLToPath(new URL(`./generated/checkpoints/${name}`, import.meta.url));
  const file = `${directory}/model.safetensors`;
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/config.json`, `${JSON.stringify(config, null, 2)}\n`);
  if (existsSync(file)) return directory;
  const weights = [...weightsOf(describe(new Config('config.json', config))).values()];
  const output = openSync(`${file}.part`, 'w');
  writeSync(output, headerOf(weights, type));
  // No two weights may be equal: ONNX Runtime keeps equal ones once, and a model whose layers are
  // all the same is read from the processor's cache. Each goes on where the last one ended.
  const next = noise(1);
  const pattern = Float32Array.from({ length: PATTERN_LENGTH }, () => next());
  let phase = 0;
  for (const { shape } of weights) {
    // Sums of products keep their magnitude; what is no matrix is a norm, a bias or a rate.
    const scale = shape.length > 1 ? Math.sqrt(3 / (shape.at(-1) ?? 1)) : 0.1;
    const floats = pattern.map((x) => x * scale);
    const numbers = type === 'F32' ? floats : upperHalves(floats);
    for (let left = sizeOf(shape); left > 0; ) {
      const piece = numbers.subarray(phase, phase + left);
      writeSync(output, new Uint8Array(numbers.buffer, piece.byteOffset, piece.byteLength));
      left -= piece.length;
      phase = (phase + piece.length) % PATTERN_LENGTH;
    }
  }
  closeSync(output);
  renameSync(`${file}.part`, file);
  return directory;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** As bfloat16. */
function upperHalves(floats: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(new Uint32Array(floats.buffer), (word) => word >>> 16);
}

function headerOf(weights: readonly Weight[], type: NumberType): Uint8Array {
  let offset = 0;
  const header: Record<string, object> = {};
  for (const { name, shape } of weights) {
    const end = offset + BYTES[type] * sizeOf(shape);
    header[name] = { dtype: type, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const text = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}
