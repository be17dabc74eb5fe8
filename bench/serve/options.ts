export type EndpointKind = 'completions' | 'chat';

/** When requests are sent: at given times (open loop), or as earlier ones end (closed loop). */
export type Arrivals =
  | { readonly kind: 'poisson' | 'fixed'; readonly perSecond: number }
  | { readonly kind: 'closed'; readonly concurrency: number };

export type DatasetName = 'sharegpt' | 'alpaca' | 'fixed';

/** What the clients send; all of it follows from the seed. */
export interface WorkloadOptions {
  readonly dataset: DatasetName;
  /** Tokens of a prompt: exactly with `fixed`, else the mean; null takes the data set's. */
  readonly inputLength: number | null;
  readonly outputLength: number | null;
  /** Standard deviation of the lengths' logarithm; null takes the data set's. */
  readonly lengthSpread: number | null;
  /** Tokens that prompts have in common, in front of their own. */
  readonly sharedPrefix: number;
  /** How many different prefixes there are; requests take them in turn. */
  readonly prefixGroups: number;
  /** Requests of one conversation; each sends all that came before. */
  readonly turns: number;
  readonly promptFormat: 'ids' | 'text';
  /** Token ids of prompts are below it. */
  readonly vocabSize: number;
  readonly seed: number;
}

/** Where requests are sent, and their fields besides the prompt. */
export interface EndpointOptions {
  /** Without `/v1`. */
  readonly url: string;
  readonly model: string;
  readonly kind: EndpointKind;
  readonly apiKey: string | null;
  readonly temperature: number;
  /** vLLM's field, which OpenAI does not have: sent only when true. */
  readonly ignoreEos: boolean;
  /** More fields of the body; they take precedence. */
  readonly extraBody: Readonly<Record<string, unknown>>;
  /** Milliseconds that one request may take. */
  readonly timeoutMs: number;
}

/** Milliseconds that a good request stays within. */
export interface GoodputLimits {
  readonly ttft?: number;
  /** For 99 % of the request's gaps between tokens. */
  readonly itl?: number;
  /** Mean time per output token after the first. */
  readonly tpot?: number;
  readonly e2e?: number;
}

export const LIMIT_NAMES = [
  'ttft',
  'itl',
  'tpot',
  'e2e',
] as const satisfies readonly (keyof GoodputLimits)[];

export interface BenchServeOptions {
  readonly endpoint: Omit<EndpointOptions, 'model'> & { readonly model: string | null };
  readonly workload: WorkloadOptions;
  readonly arrivals: Arrivals;
  /** Conversations; a conversation of one turn is a request. */
  readonly count: number;
  /** Sent first, one after another, and not counted. */
  readonly warmup: number;
  /** Milliseconds after which the run is ended. */
  readonly durationMs: number;
  readonly goodput: GoodputLimits;
  readonly files: {
    readonly json: string | null;
    readonly markdown: string | null;
    readonly svg: string | null;
  };
}
