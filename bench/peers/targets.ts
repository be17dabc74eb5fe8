import type { Metric } from './loads.js';
import { type Family, OVER_HTTP } from './variants.js';

/** What a figure of Octavo must be, beside those of the others on the same load. */
export interface Target {
  readonly title: string;
  readonly load: string;
  readonly metric: Metric;
  /** In the process like the peers, or over HTTP with the client on the same cores. */
  readonly ours: 'Octavo' | 'Octavo over HTTP';
  /** The least ratio; null: it is shown beside them, without a target. */
  readonly against: Readonly<Partial<Record<Family, number | null>>>;
}

/** Other servers: compared in every load, without a target. */
const SERVERS = { vLLM: null, "llama.cpp's server": null } as const;

const SHARED = '32 clients, shared prefix of 1,024';

export const TARGETS: readonly Target[] = [
  {
    title: 'decode, 1 client',
    load: '1 x 512',
    metric: 'decode',
    ours: 'Octavo',
    against: { 'ONNX Runtime GenAI': 1, 'node-llama-cpp': 1.4, 'transformers.js': 1.2 },
  },
  {
    title: 'decode, 8 clients',
    load: '8 x 512',
    metric: 'decode',
    ours: 'Octavo',
    against: { OpenVINO: 1.3, 'OpenVINO, tuned': 1.15, 'node-llama-cpp': 2.2 },
  },
  {
    title: 'decode, 1 client, HTTP',
    load: '1 x 512',
    metric: 'decode',
    ours: 'Octavo over HTTP',
    against: SERVERS,
  },
  {
    title: 'decode, 8 clients, HTTP',
    load: '8 x 512',
    metric: 'decode',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 1.1, ...SERVERS },
  },
  {
    title: 'decode, 32 clients',
    load: '32 x 512',
    metric: 'decode',
    ours: 'Octavo',
    against: { OpenVINO: 1.4, 'OpenVINO, tuned': 1.3 },
  },
  {
    title: 'decode, 32 clients, HTTP',
    load: '32 x 512',
    metric: 'decode',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 1.25, 'node-llama-cpp': 5, Octavo: 0.93, ...SERVERS },
  },
  {
    title: 'prefill, 512 tokens',
    load: '1 x 512',
    metric: 'prefill',
    ours: 'Octavo',
    against: { OpenVINO: 1.3, 'OpenVINO, tuned': 1.05, 'transformers.js': 1.3 },
  },
  {
    title: 'prefill, 2,048 tokens',
    load: '1 x 2048',
    metric: 'prefill',
    ours: 'Octavo',
    against: { OpenVINO: 1.15 },
  },
  {
    title: 'prefill, 512 tokens, HTTP',
    load: '1 x 512',
    metric: 'prefill',
    ours: 'Octavo over HTTP',
    against: SERVERS,
  },
  {
    title: 'prefill, 2,048 tokens, HTTP',
    load: '1 x 2048',
    metric: 'prefill',
    ours: 'Octavo over HTTP',
    against: SERVERS,
  },
  {
    title: 'time to first token, 32 clients that share 1,024 tokens',
    load: SHARED,
    metric: 'ttft',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 8, 'node-llama-cpp': 5, ...SERVERS },
  },
  {
    title: 'the same, of a prefix that is cached',
    load: `${SHARED}, cached`,
    metric: 'ttft',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 1, ...SERVERS },
  },
];

/** Of the same GGUF file in both: the 4 bits of its weights are the same numbers. */
export const GGUF_TARGETS: readonly Target[] = (
  [
    ['1 client', '1 x 512', 0.95],
    ['8 clients', '8 x 512', 2.2],
    ['32 clients', '32 x 512', 3],
  ] as const
).map(([clients, load, ratio]) => ({
  title: `decode, ${clients}`,
  load,
  metric: 'decode',
  ours: 'Octavo',
  against: { 'node-llama-cpp': ratio },
}));

interface Comparison {
  readonly title: string;
  readonly ours: Target['ours'];
  readonly isOverHttp: boolean;
}

/** What stands beside what: a table for each. */
export const COMPARISONS: readonly Comparison[] = [
  { title: 'Process with process', ours: 'Octavo', isOverHttp: false },
  {
    title: 'HTTP with HTTP, the client on the same cores',
    ours: 'Octavo over HTTP',
    isOverHttp: true,
  },
  {
    title: 'Octavo over HTTP beside engines in their own process, which are spared HTTP and text',
    ours: 'Octavo over HTTP',
    isOverHttp: false,
  },
];

/** Targets with those of their peers that a comparison shows and `families` has. */
export function targetsOf(
  targets: readonly Target[],
  { ours, isOverHttp }: Comparison,
  families: readonly Family[],
): Target[] {
  return targets
    .filter((target) => target.ours === ours)
    .map((target) => {
      const shown = Object.entries(target.against).filter(
        ([family]) =>
          families.includes(family as Family) && OVER_HTTP.has(family as Family) === isOverHttp,
      );
      return { ...target, against: Object.fromEntries(shown) };
    });
}
