import { combine } from '../checkpoint/composed/combine.js';
import { PACKED_FORMATS } from '../checkpoint/packed/index.js';
import { type Checkpoint, STORED_TYPES } from '../checkpoint/stored-tensor.js';
import { clipName } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { Config } from './config.js';
import { packingOf } from './packing.js';
import type { Weight } from './weights.js';

/** What names weights: a decoder or an encoder. */
interface Description {
  readonly family: string;
  readonly unread: readonly RegExp[];
}

/** Names that a message lists. */
const SHOWN = 3;

/**
 * The weights of a description, checked (`checkWeights`); several tensors that stand for one weight
 * are combined, as the configuration says.
 *
 * @throws OctavoError `model_file_corrupt`, `model_unsupported`
 */
export function checkedWeights(config: Config, model: Description, stored: Checkpoint): Checkpoint {
  const packing = packingOf(config);
  const checkpoint = packing ? combine(stored, packing, weightsOf(model)) : stored;
  checkWeights(model, checkpoint);
  return checkpoint;
}

/**
 * Checks that a checkpoint has the weights of a description, of the right shape and in a format
 * that is read, and no others: a weight too many is a part of the model that the description does
 * not know.
 *
 * @throws OctavoError `model_file_corrupt`, `model_unsupported`: which weights, by name
 */
export function checkWeights(model: Description, { file, tensors }: Checkpoint): void {
  const weights = weightsOf(model);
  const missing = [...weights.keys()].filter((name) => !tensors.has(name));
  if (missing.length > 0) {
    throw corrupt(file, `lacks ${list(missing)}, which ${described(model)} has`);
  }
  for (const [name, { shape }] of weights) {
    const tensor = tensors.get(name);
    if (!tensor) continue;
    if (tensor.shape.join() !== shape.join()) {
      const sizes = `[${tensor.shape.join(', ')}]; config.json makes it [${shape.join(', ')}]`;
      throw corrupt(file, `${clipName(name)} has the shape ${sizes}`);
    }
    const isPacked =
      tensor.composed !== undefined || (shape.length === 2 && PACKED_FORMATS.has(tensor.type));
    if (!isPacked && !STORED_TYPES.some((type) => type === tensor.type)) {
      throw new OctavoError(
        'model_unsupported',
        `${file}: ${clipName(name)} has the type ${clipName(tensor.type)}; weights are read as ${[...STORED_TYPES, ...(shape.length === 2 ? PACKED_FORMATS.keys() : [])].join(', ')}`,
      );
    }
  }
  const extra = [...tensors.keys()].filter(
    (name) => !weights.has(name) && !model.unread.some((pattern) => pattern.test(name)),
  );
  if (extra.length > 0) {
    throw new OctavoError(
      'model_unsupported',
      `${file}: has ${list(extra)}, of which ${described(model)} knows nothing: it would be computed without`,
    );
  }
}

/** All weights that a description names, each once. */
export function weightsOf(model: Description): ReadonlyMap<string, Weight> {
  const found = new Map<string, Weight>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return;
    if (isWeight(value)) found.set(value.name, value);
    else for (const part of Object.values(value)) visit(part);
  };
  visit({ ...model, unread: null });
  return found;
}

function isWeight(value: object): value is Weight {
  return 'name' in value && 'shape' in value;
}

function described({ family }: Description): string {
  return `a model of the family ${family} with this config.json`;
}

function list(names: readonly string[]): string {
  const shown = names
    .slice(0, SHOWN)
    .map((name) => clipName(name))
    .join(', ');
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more weights` : shown;
}

function corrupt(file: string, what: string): OctavoError {
  return new OctavoError('model_file_corrupt', `${file}: ${what}`);
}
