import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { assertLinux } from './lib/processor-shares.js';
import { type Cell, median, publish } from './lib/report.js';

// The cost of the HTTP side: the real server in front of an engine that computes nothing, and the
// main thread's share when a real engine runs, too. Server and client are separate processes and
// share the machine.

assertLinux();

const CONNECTIONS = 64;
const SECONDS = Number(process.argv[2] ?? 5);
const ROUNDS = 3;
const TOKENS = 256;

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface ServerFigures {
  readonly mainThreadNs: number;
  readonly steps: number;
}

interface StreamFigures {
  readonly tokens: number;
  readonly merged: number;
  readonly streams: number;
  readonly ms: number;
}

class BenchServer {
  readonly url: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(kind: 'stepping' | 'worker'): Promise<BenchServer> {
    const child = fork(fileOf('./http/server-process.ts'), [kind], { execArgv: execArguments() });
    const [{ url }] = (await once(child, 'message')) as [{ url: string }];
    return new BenchServer(child, url);
  }

  async figures(): Promise<ServerFigures> {
    this.#child.send('figures');
    const [figures] = (await once(this.#child, 'message')) as [ServerFigures];
    return figures;
  }

  async stop(): Promise<void> {
    this.#child.disconnect();
    await once(this.#child, 'exit');
  }
}

/** `OCTAVO_BENCH_PROFILE=<dir>` writes a processor profile of the server there. */
function execArguments(): string[] {
  const directory = process.env['OCTAVO_BENCH_PROFILE'];
  const profile = directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${directory}`];
  return ['--import', 'tsx', ...profile];
}

async function stream(
  url: string,
  route: string,
  connections: number,
  temperature: number,
): Promise<StreamFigures> {
  const words = [url, route, connections, TOKENS, SECONDS, temperature].map(String);
  const child = fork(fileOf('./http/stream-client.ts'), words, { execArgv: ['--import', 'tsx'] });
  const exit = once(child, 'exit').then(([code]): never => {
    throw new Error(`the client ended with ${code}`);
  });
  const [figures] = (await Promise.race([once(child, 'message'), exit])) as [StreamFigures];
  exit.catch(() => undefined);
  return figures;
}

/**
 * Tokens a second and the main thread's microseconds for a token and a step; medians over the
 * rounds.
 */
async function streaming(
  server: BenchServer,
  route: string,
  connections: number,
  temperature = 0,
): Promise<{ rate: number; cpu: number; step: number; merged: number }> {
  const rounds: { rate: number; cpu: number; step: number; merged: number }[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = await server.figures();
    const { tokens, merged, ms } = await stream(server.url, route, connections, temperature);
    const after = await server.figures();
    const busy = (after.mainThreadNs - before.mainThreadNs) / 1000;
    // The first round warms up.
    if (round === 0) continue;
    rounds.push({
      rate: (1000 * tokens) / ms,
      cpu: busy / tokens,
      step: busy / Math.max(1, after.steps - before.steps),
      merged: merged / tokens,
    });
  }
  const mid = (pick: (round: (typeof rounds)[number]) => number): number =>
    median(rounds.map(pick));
  return {
    rate: mid(({ rate }) => rate),
    cpu: mid(({ cpu }) => cpu),
    step: mid(({ step }) => step),
    merged: mid(({ merged }) => merged),
  };
}

/** Whole answers, by autocannon. */
async function requests(url: string, path: string, body?: object): Promise<Cell[]> {
  const post = body === undefined ? {} : { method: 'POST' as const, body: JSON.stringify(body) };
  const result = await autocannon({
    url: url + path,
    connections: CONNECTIONS,
    duration: SECONDS,
    headers: { 'content-type': 'application/json' },
    ...post,
  });
  if (result.errors > 0 || result.non2xx > 0) {
    throw new Error(`${path}: ${result.errors} errors, ${result.non2xx} answers that are not 2xx`);
  }
  return [path, result.requests.average, result.latency.p50, result.latency.p99];
}

/** The step of 32 sequences that `bench:step` has measured. */
function stepMilliseconds(): number {
  const path = fileOf('./results/step-qwen2.5-0.5b.json');
  const { tables } = JSON.parse(readFileSync(path, 'utf8')) as {
    tables: { columns: string[]; rows: Cell[][] }[];
  };
  const [decode] = tables;
  const row = decode.rows.find(([batch]) => batch === 32);
  return Number(row?.[decode.columns.indexOf('step')]);
}

const scripted = await BenchServer.start('stepping');
const whole = [
  await requests(scripted.url, '/health'),
  await requests(scripted.url, '/v1/completions', {
    prompt: Array.from({ length: 32 }, (_, i) => 100 + i),
    max_tokens: 1,
  }),
  await requests(scripted.url, '/v1/chat/completions', {
    messages: [{ role: 'user', content: 'Tell me a story about an owl.' }],
    max_tokens: 1,
  }),
];
const streams: Cell[][] = [];
for (const route of ['/v1/completions', '/v1/chat/completions']) {
  const { rate, cpu, merged } = await streaming(scripted, route, CONNECTIONS);
  if (merged > 0) throw new Error(`${route}: tokens were merged, the figure would be wrong`);
  streams.push([
    route,
    CONNECTIONS,
    rate,
    cpu,
    rate >= 30_000 ? 'yes' : `no, ${Math.round(rate / 300)} %`,
  ]);
}
await scripted.stop();

const real = await BenchServer.start('worker');
// At a high temperature, so that the model does not stop: after the end of its text, it would
// generate end-of-text tokens, which have no chunk.
const { rate, cpu, step, merged } = await streaming(real, '/v1/completions', 32, 2);
await real.stop();
const stepMs = stepMilliseconds();

publish({
  name: 'http',
  command: 'npm run bench:http',
  about:
    `The HTTP side of the server, medians of ${ROUNDS} rounds of ${SECONDS} s; client and server share the machine. The scripted engine ` +
    'computes nothing and gives one token to each stream a step; main thread: its processor time by the kernel (schedstat).',
  tables: [
    {
      title: `Whole answers over ${CONNECTIONS} connections, scripted engine (autocannon)`,
      columns: ['route', 'requests/s', 'p50 ms', 'p99 ms'],
      rows: whole,
    },
    {
      title: 'Streams, scripted engine (one event a token)',
      columns: ['route', 'connections', 'tokens/s', 'main thread µs a token', '>= 30,000 tokens/s'],
      rows: streams,
    },
    {
      title:
        'Beside a real engine: HTTP, tokenizer, messages and server-sent events at concurrency 32',
      columns: [
        'engine',
        'tokens/s',
        'main thread µs a token',
        'tokens without a chunk of their own',
        'µs a step',
        'step of 32 in the shape of Qwen2.5-0.5B, ms',
        'share of that step',
      ],
      rows: [
        [
          'octavo-tiny in its thread',
          rate,
          cpu,
          `${Math.round(100 * merged)} %`,
          step,
          stepMs,
          `${((100 * 32 * cpu) / 1000 / stepMs).toPrecision(2)} %`,
        ],
      ],
    },
  ],
});
