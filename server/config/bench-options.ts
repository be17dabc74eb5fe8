import {
  type Arrivals,
  type BenchServeOptions,
  type GoodputLimits,
  LIMIT_NAMES,
} from '../../bench/serve/options.js';
import { clip } from '../../engine/clip.js';
import { CHOICES, DEFAULT_CONCURRENCY, NUMBERS } from './bench-flags.js';
import { endpointKey, endpointUrl, filledText, type Given, usage } from './endpoint-options.js';
import { parseNumber } from './flags.js';

/** @throws OctavoError `usage` */
export function benchServeOptions(
  flags: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string | undefined>>,
): BenchServeOptions {
  const given = (name: string): Given => {
    const value = flags[name];
    return typeof value === 'string' ? value : undefined;
  };
  const number = (name: keyof typeof NUMBERS): number | null =>
    parseNumber(NUMBERS[name], given(name));
  const file = (name: string): string | null => filledText(given(name), `--${name}`);
  const turns = number('turns') ?? 1;
  const kind = choice(CHOICES.endpoint, given('endpoint')) ?? (turns > 1 ? 'chat' : 'completions');
  const asText = kind === 'chat' || turns > 1;
  const promptFormat =
    choice(CHOICES.promptFormat, given('promptFormat')) ?? (asText ? 'text' : 'ids');
  if (asText && promptFormat === 'ids') {
    const why = kind === 'chat' ? 'chat takes messages' : '--turns needs the text of the answers';
    throw usage('--prompt-format', `ids: ${why}; must be text`);
  }
  return {
    endpoint: {
      url: endpointUrl(given('url')),
      model: filledText(given('model'), '--model'),
      kind,
      apiKey: endpointKey(given('apiKey'), environment),
      temperature: number('temperature') ?? 0,
      ignoreEos: flags['ignoreEos'] === true,
      extraBody: parseObject(given('extraBody')),
      timeoutMs: 1000 * (number('timeout') ?? 300),
    },
    workload: {
      dataset: choice(CHOICES.dataset, given('dataset')) ?? 'sharegpt',
      inputLength: number('inputLen'),
      outputLength: number('outputLen'),
      lengthSpread: number('lengthSpread'),
      sharedPrefix: number('sharedPrefix') ?? 0,
      prefixGroups: number('prefixGroups') ?? 1,
      turns,
      promptFormat,
      vocabSize: number('vocabSize') ?? 1000,
      seed: number('seed') ?? 0,
    },
    arrivals: arrivals(
      number('requestRate'),
      number('concurrency'),
      choice(CHOICES.arrival, given('arrival')),
    ),
    count: number('numPrompts') ?? 100,
    warmup: number('warmup') ?? 0,
    durationMs: 1000 * (number('duration') ?? 600),
    goodput: parseGoodput(given('goodput')),
    files: { json: file('json'), markdown: file('markdown'), svg: file('svg') },
  };
}

function arrivals(
  rate: number | null,
  concurrency: number | null,
  arrival: 'poisson' | 'fixed' | null,
): Arrivals {
  if (rate === null) {
    if (arrival !== null) throw usage('--arrival', `${arrival}: needs --request-rate`);
    return { kind: 'closed', concurrency: concurrency ?? DEFAULT_CONCURRENCY };
  }
  if (concurrency !== null) {
    throw usage('--concurrency', 'with --request-rate: a load is open or closed, give one of them');
  }
  return { kind: arrival ?? 'poisson', perSecond: rate };
}

function choice<Value extends string>(
  { flag, values }: { readonly flag: string; readonly values: readonly Value[] },
  given: Given,
): Value | null {
  if (given === undefined) return null;
  const known = values.find((value) => value === given);
  if (known === undefined) {
    throw usage(flag, `${clip(given)}: must be one of ${values.join(', ')}`);
  }
  return known;
}

function parseObject(given: Given): Record<string, unknown> {
  if (given === undefined) return {};
  try {
    const value: unknown = JSON.parse(given);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Reported below, like JSON of another form.
  }
  throw usage('--extra-body', `${clip(given)}: must be a JSON object`);
}

function parseGoodput(given: Given): GoodputLimits {
  if (given === undefined) return {};
  const limits: Record<string, number> = {};
  for (const part of given.split(',')) {
    const [, name, value] = /^([a-z0-9]+):(\d+(?:\.\d+)?)$/.exec(part) ?? [];
    if (name === undefined || !LIMIT_NAMES.some((known) => known === name)) {
      throw usage(
        '--goodput',
        `${clip(given)}: must be limits in ms such as ttft:500,itl:100 (of ${LIMIT_NAMES.join(', ')})`,
      );
    }
    limits[name] = Number(value);
  }
  return limits;
}
