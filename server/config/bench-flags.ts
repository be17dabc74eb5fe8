import type { Command } from 'commander';
import { DEFAULT_URL } from './endpoint-options.js';
import type { NumberFlag } from './flags.js';

// The flags of `octavo bench serve`; bench-options.ts reads them.

export const DEFAULT_CONCURRENCY = 8;

const count = (flag: string, minimum: number, description: string): NumberFlag => ({
  flag,
  integer: true,
  minimum,
  maximum: 1_000_000,
  description,
});

const real = (flag: string, minimum: number, maximum: number, description: string): NumberFlag => ({
  flag,
  integer: false,
  minimum,
  maximum,
  description,
});

export const NUMBERS = {
  requestRate: real(
    '--request-rate',
    0.001,
    100_000,
    'open loop: requests (or conversations) that begin in a second, however the server keeps up',
  ),
  concurrency: count(
    '--concurrency',
    1,
    `closed loop: requests in flight (default: ${DEFAULT_CONCURRENCY})`,
  ),
  numPrompts: count('--num-prompts', 1, 'requests, or conversations with --turns (default: 100)'),
  inputLen: count(
    '--input-len',
    1,
    "tokens of a prompt: exact with fixed, else the mean (default: the data set's)",
  ),
  outputLen: count('--output-len', 1, 'tokens of an answer, likewise'),
  lengthSpread: real(
    '--length-spread',
    0.01,
    3,
    "standard deviation of the lengths' logarithm (default: the data set's)",
  ),
  sharedPrefix: count(
    '--shared-prefix',
    0,
    'tokens that prompts have in common, before their own (default: 0)',
  ),
  prefixGroups: count(
    '--prefix-groups',
    1,
    'different shared prefixes, taken in turn (default: 1)',
  ),
  turns: count(
    '--turns',
    1,
    'requests of a conversation, each with all that came before (default: 1)',
  ),
  vocabSize: count('--vocab-size', 2, 'prompts as ids are made of ids below it (default: 1000)'),
  temperature: real('--temperature', 0, 2, 'randomness of the answers (default: 0)'),
  seed: {
    ...count('--seed', 0, 'the same seed sends the same requests (default: 0)'),
    maximum: 0xffffffff,
  },
  warmup: count('--warmup', 0, 'requests before the run that are not counted (default: 0)'),
  duration: real('--duration', 0.1, 86_400, 'seconds after which the run is cut (default: 600)'),
  timeout: real('--timeout', 0.1, 86_400, 'seconds that one request may take (default: 300)'),
} as const satisfies Record<string, NumberFlag>;

export const CHOICES = {
  endpoint: {
    flag: '--endpoint',
    values: ['completions', 'chat'],
    description: 'route to load (default: completions; chat with --turns)',
  },
  promptFormat: {
    flag: '--prompt-format',
    values: ['ids', 'text'],
    description:
      'prompts of completions: ids are exact in length, words are about a token each (default: ids; text for chat and --turns)',
  },
  dataset: {
    flag: '--dataset',
    values: ['sharegpt', 'alpaca', 'fixed'],
    description:
      'lengths: like ShareGPT (mean 161 in, 338 out), like Alpaca (19, 58), or fixed (128, 128) (default: sharegpt)',
  },
  arrival: {
    flag: '--arrival',
    values: ['poisson', 'fixed'],
    description: 'with --request-rate: random or even spacing (default: poisson)',
  },
} as const;

const TEXTS = [
  ['--url <url>', `server to load (default: ${DEFAULT_URL})`],
  ['--model <name>', "model (default: the first of the server's list)"],
  ['--api-key <key>', 'bearer token [OCTAVO_API_KEY]'],
  [
    '--goodput <limits>',
    'count the requests within limits in ms, such as ttft:500,itl:100; also tpot, e2e',
  ],
  ['--extra-body <json>', 'more fields for every request, as a JSON object'],
  ['--json <file>', 'write options, summary and every request'],
  ['--markdown <file>', 'write the tables'],
  ['--svg <file>', 'write a plot: latency distributions, output and requests over time'],
] as const;

/** As `--help` shows them; the rest is the workload. */
const GROUPS = [
  ['Server', ['url', 'model', 'api-key', 'endpoint', 'extra-body', 'ignore-eos', 'temperature']],
  [
    'Load',
    ['request-rate', 'concurrency', 'arrival', 'num-prompts', 'warmup', 'duration', 'timeout'],
  ],
  ['Results', ['goodput', 'json', 'markdown', 'svg']],
] as const;

function groupOf(flag: string): string {
  return GROUPS.find(([, flags]) => flags.some((name) => `--${name}` === flag))?.[0] ?? 'Workload';
}

export function addBenchServeFlags(command: Command): void {
  for (const [flag, description] of TEXTS) command.option(flag, description);
  for (const { flag, values, description } of Object.values(CHOICES)) {
    command.option(`${flag} <${values.join('|')}>`, description);
  }
  for (const { flag, description } of Object.values(NUMBERS)) {
    command.option(`${flag} <n>`, description);
  }
  command.option(
    '--ignore-eos',
    'generate on to --output-len: a field of vLLM and Octavo that others may refuse',
  );
  for (const option of command.options) option.helpGroup(`${groupOf(option.long ?? '')}:`);
}
