import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { readStoredFloats } from '../checkpoint/read-floats.js';
import { readSafetensors } from '../checkpoint/safetensors.js';
import type { StoredTensor } from '../checkpoint/stored-tensor.js';
import { clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { Adapter, LowRankUpdate } from './adapter.js';
import { type AdapterConfig, readAdapterConfig } from './adapter-config.js';

const WEIGHTS = 'adapter_model.safetensors';
/** What PEFT wrote before safetensors: a pickle, which may run any code. */
const PICKLE = 'adapter_model.bin';

/** A matrix of a product: `base_model.model.model.layers.0.mlp.up_proj.lora_A.weight`. */
const MATRIX = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$/;

/** The two matrices of a module, where the file has them. */
type Pair = Partial<Record<'A' | 'B', StoredTensor>>;

/**
 * Reads a directory that PEFT has written.
 *
 * @param maxRank ranks above it are refused
 * @throws OctavoError `adapter_invalid`: what is missing, damaged, too large, or not computed here
 */
export async function readAdapter(directory: string, maxRank: number): Promise<Adapter> {
  const config = await readAdapterConfig(directory);
  const file = await findWeights(directory);
  const updates: LowRankUpdate[] = [];
  for (const [module, pair] of pairsOf(file)) {
    updates.push(await readUpdate(file, module, pair, config, maxRank));
  }
  if (updates.length === 0) throw invalid(file, 'has no low-rank product');
  const rank = Math.max(...updates.map((update) => update.rank));
  const { baseModel } = config;
  return { directory, contentHash: hashOf(updates), baseModel, rank, updates };
}

async function findWeights(directory: string): Promise<string> {
  const file = join(directory, WEIGHTS);
  if (await exists(file)) return file;
  const hasPickle = await exists(join(directory, PICKLE));
  const hint = hasPickle
    ? `; ${PICKLE} is not read, because it may run code: save it as safetensors`
    : '';
  throw invalid(file, `is missing${hint}`);
}

const exists = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** The matrices of each module, in the order of their names. */
function pairsOf(file: string): [string, Pair][] {
  const pairs = new Map<string, Pair>();
  for (const tensor of headerOf(file)) {
    const match = MATRIX.exec(tensor.name);
    if (!match) {
      throw invalid(
        file,
        `tensor ${clipName(tensor.name)} is no matrix of a low-rank product of a linear layer; only lora_A and lora_B are computed`,
      );
    }
    const [, module, part] = match;
    pairs.set(module, { ...pairs.get(module), [part]: tensor });
  }
  return [...pairs].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** A damaged file of an adapter is no damaged model. */
function headerOf(file: string): StoredTensor[] {
  try {
    return readSafetensors(file);
  } catch (error) {
    if (error instanceof OctavoError) throw asInvalid(error);
    throw error;
  }
}

async function readUpdate(
  file: string,
  module: string,
  { A, B }: Pair,
  config: AdapterConfig,
  maxRank: number,
): Promise<LowRankUpdate> {
  const fail = (what: string): OctavoError => invalid(file, `${clipName(module)}: ${what}`);
  if (!A || !B) throw fail(`lora_${A ? 'B' : 'A'} is missing`);
  const [rank, inputs] = A.shape;
  const [outputs, ranks] = B.shape;
  if (A.shape.length !== 2 || B.shape.length !== 2 || rank !== ranks || rank === 0) {
    throw fail(`lora_A [${A.shape.join()}] and lora_B [${B.shape.join()}] are no low-rank product`);
  }
  const stated = config.scaleOf(module);
  if (stated.rank !== rank) {
    throw fail(`has the rank ${rank}, but ${config.file} states ${stated.rank}`);
  }
  if (rank > maxRank) {
    throw fail(`has the rank ${rank}; at most ${maxRank} are served: raise --max-lora-rank`);
  }
  const [first, second] = [await floatsOf(A), await floatsOf(B)];
  // A product with a row of zeros must be zero: it is computed for rows of other adapters, too.
  if (![first, second].every(isFinite)) throw fail('has numbers that are not finite');
  for (let i = 0; i < second.length; i++) second[i] *= stated.factor;
  return { module, rank, inputs, outputs, first, second };
}

async function floatsOf(tensor: StoredTensor): Promise<Float32Array> {
  try {
    return await readStoredFloats(tensor);
  } catch (error) {
    if (error instanceof OctavoError) throw asInvalid(error);
    throw error;
  }
}

function isFinite(values: Float32Array): boolean {
  return values.every((value) => Number.isFinite(value));
}

function hashOf(updates: readonly LowRankUpdate[]): string {
  const hash = createHash('sha256');
  for (const { module, rank, inputs, outputs, first, second } of updates) {
    hash.update(JSON.stringify([module, rank, inputs, outputs]));
    hash.update(first);
    hash.update(second);
  }
  return hash.digest('base64');
}

function asInvalid(error: OctavoError): OctavoError {
  return new OctavoError('adapter_invalid', error.message, { cause: error });
}

function invalid(file: string, what: string): OctavoError {
  return new OctavoError('adapter_invalid', `${file}: ${what}`);
}
