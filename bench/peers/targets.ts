import type { Metric } from './loads.js';
import type { Family } from './variants.js';

/** What a figure of Octavo must be, beside those of the others on the same load. */
export interface Target {
  readonly title: string;
  readonly load: string;
  readonly metric: Metric;
  /** In the process like the peers, or over HTTP with the client on the same cores. */
  readonly ours: 'Octavo' | 'Octavo over HTTP';
  readonly against: Readonly<Partial<Record<Family, number>>>;
}

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
    title: 'decode, 8 clients, HTTP',
    load: '8 x 512',
    metric: 'decode',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 1.1 },
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
    against: { OpenVINO: 1.25, 'node-llama-cpp': 5, Octavo: 0.93 },
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
    title: 'time to first token, 32 clients that share 1,024 tokens',
    load: SHARED,
    metric: 'ttft',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 8, 'node-llama-cpp': 5 },
  },
  {
    title: 'the same, of a prefix that is cached',
    load: `${SHARED}, cached`,
    metric: 'ttft',
    ours: 'Octavo over HTTP',
    against: { OpenVINO: 1 },
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
