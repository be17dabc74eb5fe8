import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { weightsOf } from '../../engine/architectures/check-weights.js';
import { Config } from '../../engine/architectures/config.js';
import { describe } from '../../engine/architectures/describe-model.js';
import { noise } from '../../engine/noise.js';

/** Numbers that are made once and repeated; a prime, so that rows differ. */
const PATTERN_LENGTH = 1_048_573;

/**
 * A checkpoint of weights that look random, of whatever a configuration describes: made on first
 * use, and kept in the system's directory for temporary files.
 *
 * @param type of its numbers
 * @returns its directory
 */
export function ensureCheckpoint(
  name: string,
  config: Readonly<Record<string, unknown>>,
  type: 'F32' | 'BF16' = 'F32',
): string {
  const bytes = type === 'F32' ? 4 : 2;
  const directory = join(tmpdir(), 'octavo-bench-models', name);
  const file = join(directory, 'model.safetensors');
  if (existsSync(file)) return directory;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  const weights = [...weightsOf(describe(new Config('config.json', config))).values()];
  const sizes = weights.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  let offset = 0;
  const header: Record<string, object> = {};
  for (const [i, { name: weight, shape }] of weights.entries()) {
    const end = offset + bytes * sizes[i];
    header[weight] = { dtype: type, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const text = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const output = openSync(`${file}.part`, 'w');
  writeSync(output, Buffer.concat([length, text]));
  const next = noise(1);
  const pattern = Float32Array.from({ length: PATTERN_LENGTH }, () => next());
  for (const [i, { shape }] of weights.entries()) {
    // Sums of products keep their magnitude; what is no matrix is a norm, a bias or a rate.
    const scale = shape.length > 1 ? Math.sqrt(3 / (shape.at(-1) ?? 1)) : 0.1;
    const scaled = pattern.map((x) => x * scale);
    const { buffer } = type === 'F32' ? scaled : upperHalves(scaled);
    for (let left = sizes[i]; left > 0; left -= PATTERN_LENGTH) {
      writeSync(output, new Uint8Array(buffer, 0, bytes * Math.min(left, PATTERN_LENGTH)));
    }
  }
  closeSync(output);
  renameSync(`${file}.part`, file);
  return directory;
}

/** As bfloat16. */
function upperHalves(floats: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(new Uint32Array(floats.buffer), (word) => word >>> 16);
}
