import { execFileSync } from 'node:child_process';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readGgufCheckpoint } from '../../engine/checkpoint/gguf-files.js';
import { exactWeightBits } from '../../engine/importer/quantize/exact-weight-bits.js';
import { commandLine, commitOf, publish } from '../lib/report.js';
import { ensureGguf } from '../models/gguf-decoder.js';
import { SHAPES, type ShapeName } from '../models/shapes.js';
import { LOADS, type LoadRecipe, quickly } from './loads.js';
import { Measuring } from './measuring.js';
import { installPeers, versionOf } from './node-peers.js';
import { installPython, versionsIn } from './python-env.js';
import { mergeRuns, type Run, readRuns, tablesOf } from './runs.js';
import { bestOfFamilies } from './tables.js';
import { GGUF_TARGETS, TARGETS } from './targets.js';
import { FAMILIES, type Family, ggufVariants, VARIANTS, type Variant } from './variants.js';

// Compares Octavo with other engines on one machine, in turn: each variant runs in its own process,
// never two at once, with the same requests. Every round starts all variants again, in the opposite
// order.

const HERE = fileURLToPath(new URL('.', import.meta.url));
const MAX_ROUNDS = 3;

/** Time that the loads without a target take, in rounds. */
const REST_OF_ROUND = 1.8;

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    // The file that both read: Q4_0 or Q8_0 for one with random weights, or a path.
    gguf: { type: 'string' },
    // Peers of a part of the whole; what other parts have published stays.
    targets: { type: 'string' },
    variants: { type: 'string' },
    loads: { type: 'string' },
    minutes: { type: 'string', default: '45' },
    octavo: { type: 'string', default: resolve(HERE, '../..') },
  },
});
const shape: ShapeName = options.quick ? 'small' : 'qwen2.5-0.5b';
const gguf = ggufFile(options.gguf);
const targets = gguf === null ? TARGETS : GGUF_TARGETS;
const families = chosenFamilies();
const known = gguf === null ? VARIANTS : ggufVariants(gguf);
const chosen = options.targets === undefined ? known : known.filter(isOfPart);
// A peer whose packages cannot be installed here is left out, and the results say so.
const environments = new Set(chosen.flatMap(({ environment }) => environment ?? []));
const absent = new Map(
  [...environments].flatMap((name) => {
    const reason = installPython(name);
    return reason === null ? [] : [[name, reason] as const];
  }),
);
const all = chosen.filter(
  ({ environment }) => environment === undefined || !absent.has(environment),
);
const vocab = gguf === null ? SHAPES[shape].vocab : vocabularyOf(gguf);

function chosenFamilies(): readonly Family[] {
  if (options.targets === undefined) return FAMILIES;
  const names = options.targets.split(';').map((name) => name.trim());
  const peers = FAMILIES.filter((family) => targets.some(({ against }) => family in against));
  const unknown = names.find((name) => !peers.some((peer) => peer === name));
  if (unknown !== undefined) {
    throw new Error(`--targets ${unknown}: must be of ${peers.join('; ')}`);
  }
  return peers.filter((peer) => names.includes(peer));
}

/** Whether it is one of the peers that were chosen, or how Octavo runs beside them. */
function isOfPart({ family, isReference }: Variant): boolean {
  const compared = targets.filter(({ against }) => families.some((peer) => peer in against));
  const isWanted = families.includes(family) || compared.some(({ ours }) => ours === family);
  return isWanted && isReference !== true;
}

function ggufFile(given: string | undefined): string | null {
  if (given === undefined) return null;
  return given === 'Q4_0' || given === 'Q8_0' ? ensureGguf(shape, given) : resolve(given);
}

function vocabularyOf(file: string): number {
  const tokens = readGgufCheckpoint(file).metadata.get('tokenizer.ggml.tokens');
  if (!Array.isArray(tokens)) throw new Error(`${file}: has no tokens`);
  return tokens.length;
}

function chosenVariants(): readonly Variant[] {
  const names = options.variants?.split(';').map((name) => name.trim());
  const unknown = names?.find((name) => !all.some((variant) => variant.name === name));
  if (unknown !== undefined) {
    throw new Error(`--variants ${unknown}: must be of ${all.map(({ name }) => name).join('; ')}`);
  }
  const wanted = all.filter(({ name }) => names === undefined || names.includes(name));
  const cli = `${options.octavo}/dist/server/cli.js`;
  const help = execFileSync(process.execPath, [cli, 'serve', '--help'], { encoding: 'utf8' });
  for (const { name, flags } of wanted) {
    const missing = flags.find((flag) => flag.startsWith('--') && !help.includes(flag));
    if (missing !== undefined) {
      throw new Error(`${name}: ${cli} does not know ${missing}; name the others with --variants`);
    }
  }
  return wanted;
}

installPeers();
const variants = chosenVariants();
for (const variant of variants) await variant.prepare(shape, options.octavo);
const deadline = performance.now() + Number(options.minutes) * 60_000;
const loads = options.quick ? LOADS.map(quickly) : LOADS;
const wanted = loads.filter(
  ({ name }) => options.loads === undefined || options.loads.split(';').includes(name),
);
const core = wanted.filter((recipe) => recipe.core);
const rest = wanted.filter((recipe) => !recipe.core);

const measuring = new Measuring({
  shape,
  vocab,
  root: options.octavo,
  isQuick: options.quick,
});
const { results, footprints } = measuring;

/** Milliseconds that each variant took for a round. */
const took = new Map<string, number>();

async function round(
  index: number,
  taking: readonly Variant[],
  recipes: readonly LoadRecipe[],
): Promise<void> {
  for (const variant of index % 2 === 0 ? taking : taking.toReversed()) {
    const start = performance.now();
    await measuring.run(variant, recipes, index);
    took.set(variant.name, performance.now() - start);
  }
}

/**
 * Whether something that takes `factor` times as long as a round of these variants would end in
 * time.
 */
function fits(taking: readonly Variant[], factor: number): boolean {
  const ms = taking.reduce((sum, { name }) => sum + (took.get(name) ?? 0), 0);
  return performance.now() + factor * ms < deadline;
}

// All of them once; then those that were the best of their family somewhere, for the medians.
await round(0, variants, core);
const contenders = options.quick ? variants : bestOfFamilies(results, variants, targets);
let rounds = 1;
for (; rounds < (options.quick ? 1 : MAX_ROUNDS); rounds++) {
  if (!fits(contenders, 1.1)) break;
  await round(rounds, contenders, core);
}
// Loads without a target run once, as time allows: they have more prompt tokens than a whole round.
const skipped: string[] = [];
for (const variant of contenders) {
  if (options.quick || fits([variant], REST_OF_ROUND)) await measuring.run(variant, rest, rounds);
  else skipped.push(variant.name);
}

const partial = options.quick || options.variants !== undefined || options.loads !== undefined;
const command = commandLine('bench:peers');
// The targets are for CPUs that multiply int8 with instructions of their own; others are another
// measurement, beside it.
const hasVnni = (await exactWeightBits()) === 8;
const name = partial
  ? 'peers-partial'
  : `peers${gguf === null ? '' : '-gguf'}${hasVnni ? '' : '-no-vnni'}`;
const run: Run = {
  command,
  commit: commitOf(options.octavo),
  date: new Date().toISOString().slice(0, 10),
  notes: [
    `${rounds} ${rounds === 1 ? 'round' : 'rounds'}`,
    ...[...absent].map(([environment, reason]) => `without ${peersOf(environment)}: ${reason}`),
    ...(skipped.length === 0
      ? []
      : [`time was over before the other loads of ${skipped.join(', ')}`]),
  ].join('; '),
  families,
  variants: variants.map((variant) => variant.name),
  results: results.toJSON(),
  footprints: Object.fromEntries(footprints),
};
const runs = options.targets === undefined || partial ? [run] : mergeRuns(readRuns(name), run);
publish({
  name,
  command,
  about:
    `${gguf === null ? `Random weights in the shape of ${shape}` : `The same file for both, ${basename(gguf)}`}, 2 threads, the same requests for all, in turn; medians of the rounds ` +
    'for those that were the best of their family in some load of the first round, one round for the others; loads without a ' +
    'target run once. Token ids as prompts. In a process: without HTTP and text; over HTTP: with streaming, the client on the same cores. Decode: tokens a second ' +
    'while all requests decode, -: some ended before others began to; each process has answered two prompts of 512 tokens before. TTFT: median; of conversations, of the turns that have a past. transformers.js runs one sequence at ' +
    'a time: of a queue of equal requests it runs the first, and the others follow from its time. ' +
    (hasVnni ? '' : 'Targets are for CPUs with VNNI or AMX, which this one has not. ') +
    'Sequences of node-llama-cpp: one for each client; with the shared prefix the better of 1 and 4.',
  versions: versionsOf(variants),
  tables: tablesOf(runs, known, targets, wanted),
  raw: { runs },
});

function peersOf(environment: string): string {
  const peers = chosen.filter((variant) => variant.environment === environment);
  return [...new Set(peers.map(({ family }) => family))].join(', ');
}

/** Of the packages that these need. */
function versionsOf(used: readonly Variant[]): string[] {
  const has = (...drivers: string[]): boolean =>
    used.some(({ driver }) => drivers.includes(driver));
  const environmentsUsed = new Set(used.flatMap(({ environment }) => environment ?? []));
  return [
    ...(has('llama') ? [versionOf('node-llama-cpp')] : []),
    ...(has('transformers') ? [versionOf('@huggingface/transformers')] : []),
    ...[...environmentsUsed].flatMap(versionsIn),
  ];
}
