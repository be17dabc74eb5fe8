import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { LookupSpeculation, MtpSpeculation } from '../protocol/options.js';

const METHODS = ['ngram', 'suffix', 'draft_model', 'eagle', 'mtp'] as const;

const Count = Type.Optional(Type.Integer({ minimum: 1, maximum: 64 }));

/** vLLM's words, as far as they mean something here. */
const ConfigSchema = Type.Object(
  {
    method: Type.Optional(Type.Enum([...METHODS])),
    model: Type.Optional(Type.String({ minLength: 1 })),
    num_speculative_tokens: Count,
    prompt_lookup_min: Count,
    prompt_lookup_max: Count,
  },
  { additionalProperties: false },
);

const Checker = Compile(ConfigSchema);

/**
 * Longest drafts where none is stated: a lookup costs nothing, a model a run for each token, and
 * layers on hidden rows guess worse with each.
 */
const [LOOKUP_TOKENS, MODEL_TOKENS, LAYER_TOKENS] = [16, 8, 4];

/** What `--speculative-config` says. */
export type SpeculativeConfig = LookupSpeculation | DraftModelConfig | MtpSpeculation;

export interface DraftModelConfig {
  readonly method: 'draft_model' | 'eagle';
  /** A directory, a file, or a name on the hub, like `--model`. */
  readonly model: string;
  /** Maximum length of a draft. */
  readonly maxDraftTokens: number;
}

/**
 * Reads `--speculative-config`. A model without a method is a draft model, as in vLLM.
 *
 * @throws OctavoError `usage` that names the key, and what is allowed
 */
export function parseSpeculativeConfig(text: string): SpeculativeConfig {
  const config = read(text);
  const { model, method = 'draft_model', num_speculative_tokens: most } = config;
  const { prompt_lookup_min: lookupMin, prompt_lookup_max: lookupMax } = config;
  const isLookup = method === 'ngram' || method === 'suffix';
  if (!isLookup && (lookupMin !== undefined || lookupMax !== undefined)) {
    throw refusal('prompt_lookup_min and prompt_lookup_max are for ngram and suffix');
  }
  if (method === 'draft_model' || method === 'eagle') {
    if (model === undefined) throw refusal(`method "${method}" needs a model`);
    const longest = method === 'eagle' ? LAYER_TOKENS : MODEL_TOKENS;
    return { method, model, maxDraftTokens: most ?? longest };
  }
  if (model !== undefined) {
    throw refusal(`model: is for "draft_model" and "eagle", not for "${method}"`);
  }
  if (method === 'mtp') return { method, maxDraftTokens: most ?? LAYER_TOKENS };
  const least = lookupMin ?? Math.min(2, lookupMax ?? 2);
  const longest = lookupMax ?? Math.max(16, least);
  if (longest < least) {
    throw refusal(`prompt_lookup_max (${longest}) is less than prompt_lookup_min (${least})`);
  }
  return { method, maxDraftTokens: most ?? LOOKUP_TOKENS, least, longest };
}

function read(text: string): Static<typeof ConfigSchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refusal(`${clip(text)} is no JSON, such as {"method":"ngram"}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refusal(`${clip(text)} is no JSON object, such as {"method":"ngram"}`);
  }
  const { method, model } = value as { readonly method?: unknown; readonly model?: unknown };
  const isKnown = METHODS.some((name) => name === method);
  if (!isKnown && (method !== undefined || model === undefined)) {
    const given =
      method === undefined ? 'is missing' : `${clip(JSON.stringify(method))} is not served`;
    throw refusal(`method ${given}: one of ${METHODS.join(', ')}`);
  }
  if (Checker.Check(value)) return value;
  const known = ConfigSchema.properties;
  for (const [key, entry] of Object.entries(value) as [string, unknown][]) {
    if (!Object.hasOwn(known, key)) {
      throw refusal(`${clip(key)} is not known: ${Object.keys(known).join(', ')}`);
    }
    if (key === 'model' && (typeof entry !== 'string' || entry === '')) {
      throw refusal(`model ${clip(JSON.stringify(entry))}: must be a directory or a name`);
    }
    const isCount = key !== 'method' && key !== 'model';
    if (isCount && !(Number.isInteger(entry) && Number(entry) >= 1 && Number(entry) <= 64)) {
      throw refusal(`${key} ${clip(JSON.stringify(entry))}: must be an integer from 1 to 64`);
    }
  }
  throw refusal(`${clip(text)} is not understood`);
}

const refusal = (problem: string): OctavoError =>
  new OctavoError('usage', `--speculative-config: ${problem}`, { param: '--speculative-config' });
