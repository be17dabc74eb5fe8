import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Cell, commandLine, publish } from '../lib/report.js';
import { ensureShape } from '../models/random-checkpoint.js';
import type { ShapeName } from '../models/shapes.js';
import { ensureWithEnds } from './exports.js';
import { llamaServer, octavoServer, vllmServer } from './peer-servers.js';
import {
  type EnvironmentName,
  environmentOf,
  installPython,
  pythonVersion,
  versionsIn,
} from './python-env.js';
import { PeerServer, SERVED_NAME, type ServerCommand } from './servers.js';

// What users see by a tool that is not ours: guidellm asks for texts over HTTP, on the cores of the
// server that it measures. One server runs at a time.

interface Candidate {
  readonly environment?: EnvironmentName;
  readonly start: (shape: ShapeName, root: string) => ServerCommand | Promise<ServerCommand>;
}

const CANDIDATES: Readonly<Record<string, Candidate>> = {
  'octavo w8a8': {
    start: (shape, root) =>
      octavoServer(root, ensureShape(shape, 'BF16'), ['--quantize', 'w8a8', '--kv-dtype', 'int16']),
  },
  'vllm bf16': { environment: 'vllm', start: (shape) => vllmServer(shape) },
  'llama-server Q4_0': {
    environment: 'llama-server',
    start: (shape) => llamaServer(shape, 'Q4_0'),
  },
};

/** Clients at a time, and how many requests they send together. */
const STREAMS = [1, 8, 32] as const;
const REQUESTS = [4, 16, 64] as const;

const { values: options } = parseArgs({
  options: {
    // A small model and short texts, to see that it runs. Its figures mean nothing.
    quick: { type: 'boolean', default: false },
    servers: { type: 'string', default: 'octavo w8a8' },
    octavo: {
      type: 'string',
      default: resolve(fileURLToPath(new URL('../..', import.meta.url))),
    },
  },
});
const shape: ShapeName = options.quick ? 'small' : 'qwen2.5-0.5b';
const length = options.quick ? 32 : 512;
const names = options.servers.split(';').map((name) => name.trim());
for (const name of names) {
  const candidate = CANDIDATES[name] as Candidate | undefined;
  if (candidate === undefined) {
    throw new Error(`--servers ${name}: must be of ${Object.keys(CANDIDATES).join('; ')}`);
  }
  const missing =
    installPython('exporters') ?? (candidate.environment && installPython(candidate.environment));
  if (missing) throw new Error(`${name}: ${missing}`);
}

/** A statistic over the requests that succeeded. */
interface Statistic {
  readonly successful: {
    readonly mean: number;
    readonly median: number;
    readonly min: number;
    readonly max: number;
    readonly percentiles: { readonly p95: number };
  };
}

/** The parts of guidellm's report that are read. */
interface Benchmark {
  readonly metrics: {
    readonly request_totals: { readonly successful: number; readonly total: number };
    readonly prompt_token_count: Statistic;
    readonly output_token_count: Statistic;
    readonly output_tokens_per_second: Statistic;
    readonly time_to_first_token_ms: Statistic;
    readonly inter_token_latency_ms: Statistic;
    readonly request_latency: Statistic;
  };
}

/** @returns one for each of `STREAMS` */
function measure(url: string): readonly Benchmark[] {
  const directory = mkdtempSync(join(tmpdir(), 'octavo-guidellm-'));
  try {
    const path = join(directory, 'report.json');
    const words = Object.entries({
      backend: {
        kind: 'openai_http',
        target: url,
        model: SERVED_NAME,
        request_format: '/v1/completions',
      },
      profile: { kind: 'concurrent', streams: STREAMS },
      constraint: { kind: 'max_requests', count: REQUESTS },
      tokenizer: { kind: 'huggingface_auto', model: ensureWithEnds(shape) },
      data: { kind: 'synthetic_text', prompt_tokens: length, output_tokens: length },
      output: { kind: 'json', path },
    }).flatMap(([flag, value]) => [`--${flag}`, JSON.stringify(value)]);
    execFileSync(
      `${environmentOf('exporters')}/bin/guidellm`,
      ['run', ...words, '--disable-console'],
      {
        stdio: ['ignore', 2, 2],
        env: { ...process.env, HF_HUB_OFFLINE: '1' },
      },
    );
    const report = JSON.parse(readFileSync(path, 'utf8')) as {
      readonly benchmarks: readonly Benchmark[];
    };
    return report.benchmarks;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @throws Error when a request failed, or had other lengths than were asked for */
function check(name: string, { metrics }: Benchmark): void {
  const {
    request_totals: totals,
    prompt_token_count: prompts,
    output_token_count: outputs,
  } = metrics;
  if (totals.successful !== totals.total) {
    throw new Error(`${name}: ${totals.total - totals.successful} requests have failed`);
  }
  for (const { successful } of [prompts, outputs]) {
    if (successful.min !== length || successful.max !== length) {
      throw new Error(
        `${name}: ${successful.min} to ${successful.max} tokens instead of ${length}`,
      );
    }
  }
}

const rows: Cell[][] = [];
for (const name of names) {
  const server = await PeerServer.start(await CANDIDATES[name].start(shape, options.octavo));
  try {
    for (const [index, benchmark] of measure(server.url).entries()) {
      check(name, benchmark);
      const { metrics } = benchmark;
      rows.push([
        name,
        STREAMS[index],
        metrics.request_totals.successful,
        metrics.output_tokens_per_second.successful.mean,
        metrics.time_to_first_token_ms.successful.median,
        metrics.time_to_first_token_ms.successful.percentiles.p95,
        metrics.inter_token_latency_ms.successful.median,
        metrics.request_latency.successful.median,
      ]);
    }
  } finally {
    await server.stop();
  }
}

publish({
  name: options.quick ? 'peers-partial' : 'guidellm',
  command: commandLine('bench:guidellm'),
  about:
    `Random weights in the shape of ${shape}, 2 threads; ${length} tokens in and ${length} out as text over /v1/completions, ` +
    "guidellm on the cores of the server, which streams. All figures are guidellm's own.",
  versions: [
    pythonVersion('exporters', 'guidellm'),
    ...names.flatMap((name) => {
      const { environment } = CANDIDATES[name];
      return environment === undefined ? [] : versionsIn(environment);
    }),
  ],
  tables: [
    {
      title: `Profile ${length}:${length}`,
      columns: [
        'server',
        'clients',
        'requests',
        'output tokens/s',
        'TTFT median ms',
        'TTFT p95 ms',
        'between tokens, median ms',
        'request, median s',
      ],
      rows,
    },
  ],
});
