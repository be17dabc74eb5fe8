import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { embeddedModelDir } from '../../engine/environment/package-root.js';
import {
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
} from '../../engine/importer/onnx/onnx_pb.js';
import { noise } from '../../engine/noise.js';
import { type Golden, readGoldenFile } from './export-fixtures.js';
import { safetensors } from './safetensors.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/adapters', import.meta.url));

/** A directory that PEFT has written: see test/fixtures/adapters/make.py. */
export const adapterDir = (base: string, name: string): string => join(FIXTURES, base, name);

/** What transformers says about the merged model. */
export const adapterGolden = (base: string, name: string): Golden =>
  readGoldenFile(join(adapterDir(base, name), 'golden.json'));

const RANK = 4;
const ALPHA = 8;

/** Where an exported graph computes a module. */
export interface ModulePlace {
  /** As PEFT names it. */
  readonly module: string;
  /** Name of the matmul. */
  readonly node: string;
  /** Columns of its weight. */
  readonly first: number;
  readonly count: number;
}

/** Files of an adapter, and what becomes of the model when it is merged. */
export interface MadeAdapter {
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Writes a copy of the model's directory; the caller removes it. */
  readonly merge: () => string;
}

/**
 * An adapter of random numbers.
 *
 * @param file of the model, in its directory
 */
export function randomAdapter(
  modelDir: string,
  file: string,
  places: readonly ModulePlace[],
  seed: number,
  size = 0.1,
): MadeAdapter {
  const next = noise(seed);
  const random = (length: number): Float32Array =>
    Float32Array.from({ length }, () => next() * size);
  const model = fromBinary(ModelProtoSchema, readFileSync(join(modelDir, file)));
  const tensors = places.flatMap(({ module, count, ...place }) => {
    const weight = weightOf(model, place.node);
    const inputs = Number(weight.dims[0]);
    const [a, b] = [random(RANK * inputs), random(count * RANK)];
    add(weight, place.first, a, b, count);
    const at = (part: string): string => `base_model.model.${module}.lora_${part}.weight`;
    return [
      { name: at('A'), shape: [RANK, inputs], values: a },
      { name: at('B'), shape: [count, RANK], values: b },
    ];
  });
  const config = { peft_type: 'LORA', r: RANK, lora_alpha: ALPHA, bias: 'none' };
  return {
    files: {
      'adapter_config.json': JSON.stringify(config),
      'adapter_model.safetensors': safetensors(tensors),
    },
    merge: () => {
      const directory = mkdtempSync(join(tmpdir(), 'octavo-test-'));
      cpSync(modelDir, directory, { recursive: true });
      writeFileSync(join(directory, file), toBinary(ModelProtoSchema, model));
      return directory;
    },
  };
}

/** The linear layers of models whose exporter keeps them apart. */
export function separatePlaces(
  layers: number,
  sizes: Readonly<Record<string, number>>,
  attention = 'attn',
): ModulePlace[] {
  return Array.from({ length: layers }, (_, layer) =>
    Object.entries(sizes).map(([name, count]) => {
      const part = /^(gate|up|down)/.test(name) ? 'mlp' : attention;
      const own = part === 'mlp' ? part : 'self_attn';
      return {
        module: `model.layers.${layer}.${own}.${name}`,
        node: `/model/layers.${layer}/${part}/${name}/MatMul`,
        first: 0,
        count,
      };
    }),
  ).flat();
}

/** An adapter of the embedded model. */
export function tinyAdapter(seed: number, size?: number): MadeAdapter {
  const kv = { k_proj: 64, v_proj: 64 };
  const mlp = { gate_proj: 512, up_proj: 512, down_proj: 192 };
  const places = separatePlaces(5, { q_proj: 192, ...kv, o_proj: 192, ...mlp });
  return randomAdapter(embeddedModelDir(), 'onnx/model.onnx', places, seed, size);
}

/** Writes an adapter into a directory that the caller removes. */
export function writeAdapter({ files }: Pick<MadeAdapter, 'files'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-test-'));
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), content);
  }
  return directory;
}

function weightOf({ graph }: ModelProto, name: string): TensorProto {
  const node = graph?.node.find((other) => other.name === name);
  const weight = graph?.initializer.find((tensor) => tensor.name === node?.input[1]);
  if (!weight) throw new Error(`${name} has no weight`);
  return weight;
}

/** Adds `B A` to columns of a weight `[inputs, outputs]`. */
function add(
  weight: TensorProto,
  first: number,
  a: Float32Array,
  b: Float32Array,
  count: number,
): void {
  const values = new Float32Array(new Uint8Array(weight.rawData).buffer);
  const [inputs, outputs] = weight.dims.map(Number);
  for (let i = 0; i < inputs; i++) {
    for (let o = 0; o < count; o++) {
      let sum = 0;
      for (let r = 0; r < RANK; r++) sum += a[r * inputs + i] * b[o * RANK + r];
      values[i * outputs + first + o] += (sum * ALPHA) / RANK;
    }
  }
  weight.rawData = new Uint8Array(values.buffer);
}
