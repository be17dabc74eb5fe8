import { fileURLToPath } from 'node:url';
import { startOctavo } from '../lib/octavo-server.js';
import { type Cell, median, publish } from '../lib/report.js';
import { trainedModel } from '../models/trained-model.js';
import { valueOf } from './loads.js';
import { installPeers, versionOf } from './node-peers.js';
import { Driver, type DriverName, type Load } from './protocol.js';
import { TASKS } from './repeated-texts.js';

// Prompt lookup on texts that repeat their prompts: Octavo and node-llama-cpp on one file of a
// trained model, SmolLM2-135M-Instruct in Q4_1, whose 4 bits both take as they are. One client,
// token ids in and out, each in a process of its own, in turn. An answer has as many tokens as
// Octavo's greedy one until it ends; llama.cpp rounds activations and may say something else, as
// long.

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ROUNDS = 3;
const MOST_TOKENS = 300;

const model = await trainedModel();
if (model.absent !== undefined) throw new Error(model.absent);
installPeers();

interface Contender {
  readonly name: string;
  readonly driver: DriverName;
  readonly options: object;
}

const library = (name: string, settings: object): Contender => ({
  name,
  driver: 'library',
  options: { root: ROOT, model: model.file, settings: { kvDtype: 'int16', ...settings } },
});
const CONTENDERS: readonly Contender[] = [
  library('Octavo', {}),
  library('Octavo, ngram', { speculativeConfig: { method: 'ngram' } }),
  { name: 'node-llama-cpp', driver: 'llama', options: { file: model.file } },
  {
    name: 'node-llama-cpp, InputLookupTokenPredictor',
    driver: 'llama',
    options: { file: model.file, looksUp: true },
  },
];

const loads = await loadsOf(model.file);
const rates = CONTENDERS.map(() => loads.map((): number[] => []));
for (let round = 0; round < ROUNDS; round++) {
  const order = [...CONTENDERS.entries()];
  if (round % 2 === 1) order.reverse();
  for (const [index, { name, driver, options }] of order) {
    const process = await Driver.start(driver, options);
    // Once unmeasured: code is compiled, and what the prompts need is in memory.
    for (const load of loads) await process.run(load);
    for (const [at, load] of loads.entries()) {
      const rate = valueOf('decode', load, await process.run(load));
      if (rate === null) throw new Error(`${name}: no time in which all requests decoded`);
      rates[index][at].push(rate);
      console.error(`round ${round + 1}  ${name}  ${load.name}: ${rate.toPrecision(4)} tokens/s`);
    }
    await process.stop();
  }
}

/** The prompts' tokens and the lengths of their answers, from Octavo's server. */
async function loadsOf(file: string): Promise<Load[]> {
  const server = await startOctavo(ROOT, ['--model', file, '--served-model-name', 'model']);
  const post = async <T>(path: string, body: object): Promise<T> => {
    const response = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'model', ...body }),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  const made: Load[] = [];
  for (const { name, prompt } of TASKS) {
    const messages = [{ role: 'user', content: prompt }];
    const { tokens } = await post<{ tokens: number[] }>('/tokenize', { messages });
    const { usage } = await post<{ usage: { completion_tokens: number } }>('/v1/chat/completions', {
      messages,
      temperature: 0,
      max_tokens: MOST_TOKENS,
    });
    made.push({
      name,
      concurrency: 1,
      conversations: [[{ prompt: tokens, maxTokens: usage.completion_tokens }]],
      sequences: 1,
      hasDrafts: true,
    });
  }
  server.child.kill('SIGTERM');
  return made;
}

/** Of all answers together: their tokens in the sum of their times. */
function overall(index: number): number {
  const lengths = loads.map(({ conversations }) => conversations[0][0].maxTokens);
  const seconds = lengths.map((length, at) => length / median(rates[index][at]));
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return sum(lengths) / sum(seconds);
}

const rows = loads.map(({ name, conversations }, at): Cell[] => {
  const [[{ prompt, maxTokens }]] = conversations;
  const medians = rates.map((all) => median(all[at]));
  return [name, prompt.length, maxTokens, ...medians];
});
const all = CONTENDERS.map((_, index) => overall(index));
publish({
  name: 'repeats',
  command: 'npm run bench:repeats',
  about:
    'Decoding of answers that repeat their prompts, one client, tokens a second behind the first token: SmolLM2-135M-Instruct, a GGUF file of Q4_1, ' +
    `the same file for both, 2 threads, token ids in the process, medians of ${ROUNDS} rounds in turn. ` +
    `Octavo with lookups decodes ${(all[1] / all[2]).toFixed(2)} times as fast as node-llama-cpp, ` +
    `${(all[1] / all[3]).toFixed(2)} times as fast as node-llama-cpp with its own lookups, ` +
    `and ${(all[1] / all[0]).toFixed(2)} times as fast as Octavo without.`,
  versions: [versionOf('node-llama-cpp')],
  tables: [
    {
      title: 'Tokens a second',
      columns: ['answer', 'prompt tokens', 'tokens', ...CONTENDERS.map(({ name }) => name)],
      rows: [...rows, ['all', '', '', ...all]],
    },
  ],
});
