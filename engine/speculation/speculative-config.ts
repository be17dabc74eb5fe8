import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { clip } from '../clip.js';
import { OctavoError } from '../errors.js';
import type { SpeculationOptions } from '../protocol/options.js';

const METHODS = ['ngram', 'suffix'] as const;

/** vLLM's words, as far as they mean something here. */
const ConfigSchema = Type.Object(
  {
    method: Type.Enum([...METHODS]),
    num_speculative_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
    prompt_lookup_min: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
    prompt_lookup_max: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
  },
  { additionalProperties: false },
);

const Checker = Compile(ConfigSchema);

/**
 * Reads `--speculative-config`.
 *
 * @throws OctavoError `usage` that names the key, and what is allowed
 */
export function parseSpeculativeConfig(text: string): SpeculationOptions {
  const config = read(text);
  const least = config.prompt_lookup_min ?? Math.min(2, config.prompt_lookup_max ?? 2);
  const longest = config.prompt_lookup_max ?? Math.max(16, least);
  if (longest < least) {
    throw refusal(`prompt_lookup_max (${longest}) is less than prompt_lookup_min (${least})`);
  }
  return {
    method: config.method,
    maxDraftTokens: config.num_speculative_tokens ?? 16,
    least,
    longest,
  };
}

function read(text: string): Static<typeof ConfigSchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refusal(`${clip(text)} is no JSON, such as {"method":"ngram"}`);
  }
  if (Checker.Check(value)) return value;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refusal(`${clip(text)} is no JSON object, such as {"method":"ngram"}`);
  }
  const known = ConfigSchema.properties;
  const entries: [string, unknown][] = Object.entries(value);
  const method = entries.find(([key]) => key === 'method')?.[1];
  if (!METHODS.some((name) => name === method)) {
    const given =
      method === undefined ? 'is missing' : `${clip(JSON.stringify(method))} is not served`;
    throw refusal(`method ${given}: one of ${METHODS.join(', ')}`);
  }
  for (const [key, entry] of entries) {
    if (!Object.hasOwn(known, key)) {
      throw refusal(`${clip(key)} is not known: ${Object.keys(known).join(', ')}`);
    }
    if (
      key !== 'method' &&
      !(Number.isInteger(entry) && Number(entry) >= 1 && Number(entry) <= 64)
    ) {
      throw refusal(`${key} ${clip(JSON.stringify(entry))}: must be an integer from 1 to 64`);
    }
  }
  throw refusal(`${clip(text)} is not understood`);
}

const refusal = (problem: string): OctavoError =>
  new OctavoError('usage', `--speculative-config: ${problem}`, { param: '--speculative-config' });
