import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startOctavo } from './lib/octavo-server.js';
import { type Cell, median, publish } from './lib/report.js';
import { ensureShape } from './models/random-checkpoint.js';
import { SHAPES, type ShapeName } from './models/shapes.js';
import { measuringClient } from './serve/client.js';

// How two models of one server share the processor: clients in a closed loop ask one of them, then
// the other, then both.
//
//     npm run bench:several-models -- [shape] [seconds]

const SHAPE = (process.argv[2] ?? 'qwen2.5-0.5b') as ShapeName;
const SECONDS = Number(process.argv[3] ?? 10);
const CLIENTS = 8;
const ROUNDS = 3;
const NAMES = ['first', 'second'] as const;
type Name = (typeof NAMES)[number];

if (!(SHAPE in SHAPES)) {
  throw new Error(`shape ${SHAPE}: must be one of ${Object.keys(SHAPES).join(', ')}`);
}
const FLAGS =
  '--quantize w8a8 --kv-dtype int16 --kv-cache-memory 512MiB --threads 2 --max-model-len 2048';
/** Ids that prompts are made of. */
const VOCABULARY = Math.min(1500, SHAPES[SHAPE].vocab - 300);
const model = ensureShape(SHAPE, 'BF16');
const { child, url } = await startOctavo(fileURLToPath(new URL('..', import.meta.url)), [
  ...NAMES.flatMap((name) => ['--model', `${name}=${model}`]),
  ...FLAGS.split(' '),
]);
const now = (): number => performance.now();

/** Outputs a second of each model, while all that are named have clients. */
async function rates(names: readonly Name[], seed: number): Promise<Record<Name, number>> {
  const outputs: Record<Name, number> = { first: 0, second: 0 };
  const controller = new AbortController();
  const clients = names.flatMap((name) =>
    Array.from({ length: CLIENTS }, async (_, i) => {
      const client = measuringClient(
        { url, model: name, kind: 'completions', timeoutMs: 300_000 },
        now,
      );
      for (let turn = 0; !controller.signal.aborted; turn++) {
        const begin = 1000 + 100 * seed + 10 * i + turn;
        const ids = Array.from({ length: 64 }, (__, j) => 300 + ((begin + 7 * j) % VOCABULARY));
        const { error, errorDetail } = await client.send(
          { kind: 'ids', ids },
          256,
          controller.signal,
          () => outputs[name]++,
        );
        if (error !== null && error !== 'cut') throw new Error(`${error}: ${errorDetail ?? ''}`);
      }
      await client.close();
    }),
  );
  const pause = (seconds: number): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  // A model is loaded by its first request.
  const failed = Promise.race(clients.map((client) => client.then(() => undefined)));
  failed.catch(() => undefined);
  while (names.some((name) => outputs[name] === 0)) await Promise.race([failed, pause(0.1)]);
  await pause(2);
  const before = { ...outputs };
  const start = now();
  await pause(SECONDS);
  const seconds = (now() - start) / 1000;
  const after = { ...outputs };
  controller.abort();
  await Promise.all(clients);
  return {
    first: (after.first - before.first) / seconds,
    second: (after.second - before.second) / seconds,
  };
}

const rows: Record<'first' | 'second' | 'bothFirst' | 'bothSecond', number[]> = {
  first: [],
  second: [],
  bothFirst: [],
  bothSecond: [],
};
for (let round = 0; round < ROUNDS; round++) {
  for (const name of NAMES) rows[name].push((await rates([name], 3 * round))[name]);
  const both = await rates(NAMES, 3 * round + 1);
  rows.bothFirst.push(both.first);
  rows.bothSecond.push(both.second);
  process.stderr.write(`round ${round + 1}: ${JSON.stringify(both)}\n`);
}
child.kill('SIGTERM');
if (child.exitCode === null) await once(child, 'exit');

const [first, second, bothFirst, bothSecond] = [
  rows.first,
  rows.second,
  rows.bothFirst,
  rows.bothSecond,
].map(median);
const alone = (first + second) / 2;
const cells: Cell[][] = [
  ['one model, the other without requests', first, second, '', ''],
  [
    'both',
    bothFirst,
    bothSecond,
    bothFirst / (bothFirst + bothSecond),
    (bothFirst + bothSecond) / alone,
  ],
];
publish({
  name: 'several-models',
  command: 'npm run bench:several-models',
  about:
    `Two models of one server, each of random weights in the shape of ${SHAPE}, w8a8, int16 pages, 2 threads each: ${CLIENTS} streaming clients for each ` +
    `model, prompts of 64 tokens, answers of 256; tokens a second, medians of ${ROUNDS} rounds of ${SECONDS} s, the clients on the same cores.`,
  tables: [
    {
      title: 'Tokens a second',
      columns: ['which have clients', 'first', 'second', "first's share", 'together, by one alone'],
      rows: cells,
    },
  ],
});
