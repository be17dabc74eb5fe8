import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clip, clipName } from '../clip.js';
import { OctavoError } from '../errors.js';

export const ADAPTER_CONFIG = 'adapter_config.json';

/** The configuration of a LoRA adapter, as far as it matters for computing it. */
export interface AdapterConfig {
  /** Path of the file. */
  readonly file: string;
  readonly baseModel: string | null;
  /** Rank of a module, and the factor of its product. */
  readonly scaleOf: (module: string) => { readonly rank: number; readonly factor: number };
}

type Json = Readonly<Record<string, unknown>>;

/** Options of PEFT that change what an adapter computes, and that are not computed here. */
const REFUSED: Readonly<Record<string, string>> = {
  use_dora: 'DoRA scales whole weights by their norms',
  lora_bias: 'its products have biases',
  use_qalora: 'QALoRA computes on groups of a quantized weight',
  modules_to_save: 'it replaces whole modules by its own',
  trainable_token_indices: 'it replaces rows of the embedding',
  layer_replication: 'it repeats layers of the model',
  target_parameters: 'it changes parameters that are no linear layers',
  alora_invocation_tokens: 'an activated LoRA (aLoRA) begins in the middle of a prompt',
  use_bdlora: 'its matrices are block-diagonal',
  arrow_config: 'Arrow routes between adapters',
  kasa_config: 'KaSA weighs its ranks and changes the model',
  monteclora_config: 'its matrices are drawn at random',
};

/** Ways to begin that take something out of the model's weights. */
const CHANGES_MODEL = /^(pissa|olora|corda|loftq|lora_ga)/;

/**
 * Reads adapter_config.json of a directory that PEFT has written.
 *
 * @throws OctavoError `adapter_invalid`: what is missing, wrong, or not computed here
 */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  const file = join(directory, ADAPTER_CONFIG);
  const values = await readJson(file);
  const fail = (what: string): OctavoError =>
    new OctavoError('adapter_invalid', `${file}: ${what}`);
  const kind = values.peft_type;
  if (kind !== 'LORA') {
    throw fail(`peft_type is ${shown(kind)}; only LORA adapters are computed`);
  }
  for (const [key, reason] of Object.entries(REFUSED)) {
    if (isSet(values[key]))
      throw fail(`${key} is ${shown(values[key])}: ${reason}, which is not computed`);
  }
  const bias = values.bias ?? 'none';
  if (bias !== 'none') {
    throw fail(
      `bias is ${shown(bias)}: it changes biases of the model, which is not computed; only "none" is`,
    );
  }
  const init = values.init_lora_weights;
  if (typeof init === 'string' && CHANGES_MODEL.test(init)) {
    throw fail(
      `init_lora_weights is ${shown(init)}, which changes the weights of the model, too; ` +
        'save it with path_initial_model_for_weight_conversion, which makes a plain adapter of it',
    );
  }
  const rank = positive(values.r, 'r', fail);
  const alpha = positive(values.lora_alpha, 'lora_alpha', fail);
  const ranks = patternOf(values.rank_pattern, 'rank_pattern', fail);
  const alphas = patternOf(values.alpha_pattern, 'alpha_pattern', fail);
  const isStable = values.use_rslora === true;
  const base = values.base_model_name_or_path;
  return {
    file,
    baseModel: typeof base === 'string' && base !== '' ? base : null,
    scaleOf: (module) => {
      const own = ranks(module) ?? rank;
      const factor = (alphas(module) ?? alpha) / (isStable ? Math.sqrt(own) : own);
      return { rank: own, factor };
    },
  };
}

async function readJson(file: string): Promise<Json> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const what = 'cannot be read: an adapter is a directory that PEFT has written';
    throw new OctavoError('adapter_invalid', `${file}: ${what}`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OctavoError('adapter_invalid', `${file}: is not JSON`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new OctavoError('adapter_invalid', `${file}: is not a JSON object`);
}

/** Whether an option says something: PEFT writes `false`, `null` and empty lists for no. */
function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return !Array.isArray(value) || value.length > 0;
}

function positive(value: unknown, key: string, fail: (what: string) => OctavoError): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw fail(`${key} is ${shown(value)}; expected a number above 0`);
}

/**
 * Numbers for some modules: PEFT takes the first key that is the end of the module's name, as a
 * regular expression, behind a dot.
 *
 * @returns the number of a module; undefined for those that no key names
 */
function patternOf(
  value: unknown,
  key: string,
  fail: (what: string) => OctavoError,
): (module: string) => number | undefined {
  if (value === undefined || value === null) return () => undefined;
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw fail(`${key} is ${shown(value)}; expected an object of numbers`);
  }
  const entries = Object.entries(value as Json).map(([name, number]) => {
    const what = `${key}.${clipName(name)}`;
    return { test: expression(name, what, fail), number: positive(number, what, fail) };
  });
  return (module) => entries.find(({ test }) => test.test(module))?.number;
}

function expression(name: string, what: string, fail: (what: string) => OctavoError): RegExp {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${name})$`);
  } catch {
    throw fail(`${what} is no regular expression`);
  }
}

function shown(value: unknown): string {
  return clip(JSON.stringify(value) ?? 'missing');
}
