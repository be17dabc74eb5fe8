import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startOctavo } from './lib/octavo-server.js';
import { type Cell, publish } from './lib/report.js';
import { trainedModel } from './models/trained-model.js';
import type { Summary } from './serve/statistics.js';

// A trained model under load: SmolLM2-135M-Instruct with its 4-bit weights, loaded by
// `octavo bench serve`. Prompts have nothing in common, so the prefix cache finds nothing.

const [INPUT, OUTPUT] = [128, 64];
const CLIENTS = [1, 8, 32] as const;
/** Requests of each client in a run. */
const ROUNDS = Number(process.argv[2] ?? 4);

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const model = await trainedModel();
if (model.absent !== undefined) throw new Error(model.absent);
const work = mkdtempSync(join(tmpdir(), 'octavo-trained-'));
const server = await startOctavo(ROOT, ['--model', model.file]);
const rows: Cell[][] = [];
try {
  for (const [seed, clients] of CLIENTS.entries()) {
    const { perSecond, latencyMs, tokens } = await load(clients, seed);
    const { ttft, tpot } = latencyMs;
    const latencies = [ttft.p50, ttft.p99, tpot.p50].map((ms) => ms ?? '-');
    rows.push([clients, perSecond.outputTokens, ...latencies, tokens.cachedInput]);
  }
} finally {
  server.child.kill('SIGTERM');
  rmSync(work, { recursive: true, force: true });
}
publish({
  name: 'trained',
  command: 'npm run bench:trained',
  about:
    `SmolLM2-135M-Instruct, a GGUF file of Q4_1 as it is (test/fixtures/smollm2): ${INPUT} tokens in, ` +
    `${OUTPUT} out, over HTTP, server and clients on one machine.`,
  tables: [
    {
      title: 'By clients at once',
      columns: [
        'clients',
        'output tokens/s',
        'TTFT p50 ms',
        'TTFT p99 ms',
        'time per token p50 ms',
        'prompt tokens from the cache',
      ],
      rows,
    },
  ],
});

async function load(clients: number, seed: number): Promise<Summary> {
  const file = join(work, `${clients}.json`);
  const options = {
    url: server.url,
    dataset: 'fixed',
    'input-len': INPUT,
    'output-len': OUTPUT,
    concurrency: clients,
    'num-prompts': clients * ROUNDS,
    warmup: clients,
    seed,
    json: file,
  };
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const cli = join(ROOT, 'dist', 'server', 'cli.js');
  await promisify(execFile)(process.execPath, [cli, 'bench', 'serve', ...flags, '--ignore-eos']);
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly summary: Summary }).summary;
}
