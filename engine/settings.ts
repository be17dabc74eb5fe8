import { type Static, Type } from 'typebox';
import { EVICTION_POLICIES } from '../kvcache/eviction/create-eviction.js';
import { SCHEDULING_POLICIES } from '../scheduler/policies/scheduling-policy.js';
import { KV_DTYPES } from './attention/paged-attention.js';
import { availableCpus } from './environment/available-cpus.js';
import { defaultKvCacheBytes } from './environment/available-memory.js';
import { QUANTIZATIONS } from './importer/quantize/quantization.js';
import { DTYPES } from './importer/variants.js';
import { REASONING_PARSERS } from './reasoning/reasoning-parsers.js';
import { TOOL_CALL_PARSERS } from './tools/formats.js';

/**
 * The commands that take the setting: all that run a model (`engine`), or only `serve` (`server`).
 */
export type Scope = 'engine' | 'server';

/**
 * The order in which `--help` and docs/flags.md show the settings; the settings of a group are
 * declared together below.
 */
export const SETTING_GROUPS = [
  'Model',
  'KV cache',
  'Scheduling',
  'HTTP',
  'Limits',
  'Logs, metrics and traces',
] as const;

export type SettingGroup = (typeof SETTING_GROUPS)[number];

export interface Extra {
  readonly description: string;
  readonly group: SettingGroup;
  readonly scope: Scope;
  /** Placeholder for the value in `--help`. */
  readonly value?: string;
  /** `bytes` values are written as 2GiB, 512MiB or a plain number. */
  readonly unit?: 'bytes';
  /** Allowed texts, when the condition is more than not being empty. */
  readonly allowed?: string;
}

export const extra = (options: Extra): Extra => options;

/**
 * Settings of an engine, given by flags, by environment variables (`server/config`), or by a
 * program that uses the library. Bounds and defaults are the same for all of them.
 */
export const ENGINE_SETTINGS = {
  model: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory of the model, or owner/name[@revision] on the hub (default: the embedded octavo-tiny)',
        group: 'Model',
        scope: 'engine',
        value: 'model',
      }),
      minLength: 1,
    }),
  ),
  servedModelName: Type.Array(Type.String({ minLength: 1 }), {
    ...extra({
      description: "name of the model in the API, repeatable (default: the directory's name)",
      group: 'Model',
      scope: 'server',
      value: 'name',
    }),
    default: [],
  }),
  dtype: Type.Enum(['auto', ...DTYPES], {
    ...extra({
      description: "which of the directory's ONNX files, by its number format",
      group: 'Model',
      scope: 'engine',
      value: 'dtype',
    }),
    default: 'auto',
  }),
  quantize: Type.Enum([...QUANTIZATIONS], {
    ...extra({
      description: 'int8 weights and activations (w8a8), rewritten once and cached on disk',
      group: 'Model',
      scope: 'engine',
      value: 'method',
    }),
    default: 'none',
  }),
  quantizeNbits: Type.Boolean({
    ...extra({
      description: 'with --quantize: weights that are packed in 2, 4 or 8 bits too (MatMulNBits)',
      group: 'Model',
      scope: 'engine',
    }),
    default: false,
  }),
  modelCacheDir: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory of rewritten models and of hashes of models (default: ~/.cache/octavo)',
        group: 'Model',
        scope: 'engine',
        value: 'dir',
      }),
      minLength: 1,
    }),
  ),
  maxModelLen: Type.Optional(
    Type.Integer({
      ...extra({
        description: "longest prompt plus output in tokens (default: the model's context)",
        group: 'Model',
        scope: 'engine',
      }),
      minimum: 2,
      maximum: 16_777_216,
    }),
  ),
  chatTemplate: Type.Optional(
    Type.String({
      ...extra({
        description:
          "file with a chat template, or the name of one of the model's own (default: the model's)",
        group: 'Model',
        scope: 'engine',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
  allowSpecialTokens: Type.Boolean({
    ...extra({
      description: "chats: special tokens written in a client's text count as such",
      group: 'Model',
      scope: 'engine',
    }),
    default: false,
  }),
  toolCallParser: Type.Enum([...TOOL_CALL_PARSERS], {
    ...extra({
      description: 'how the model writes tool calls; auto sees it from the chat template',
      group: 'Model',
      scope: 'server',
      value: 'format',
    }),
    default: 'auto',
  }),
  reasoningParser: Type.Enum([...REASONING_PARSERS], {
    ...extra({
      description: 'how the model marks its reasoning: think is <think>...</think>',
      group: 'Model',
      scope: 'server',
      value: 'format',
    }),
    default: 'none',
  }),
  disableAnyWhitespace: Type.Boolean({
    ...extra({
      description: 'structured output is compact JSON, without white space between its parts',
      group: 'Model',
      scope: 'server',
    }),
    default: false,
  }),
  pooling: Type.Enum(['last', 'mean'], {
    ...extra({
      description: "embeddings: the last token's hidden state, or the mean of all",
      group: 'Model',
      scope: 'server',
      value: 'how',
    }),
    default: 'last',
  }),
  kvCacheMemory: Type.Integer({
    ...extra({
      description:
        'memory of the KV cache: 2GiB, 512MiB or bytes (default: a quarter of the memory that there is, 1GiB at most)',
      group: 'KV cache',
      scope: 'engine',
      value: 'size',
      unit: 'bytes',
    }),
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    default: defaultKvCacheBytes(),
  }),
  kvDtype: Type.Enum([...KV_DTYPES], {
    ...extra({
      description: 'number format of the KV cache',
      group: 'KV cache',
      scope: 'engine',
      value: 'dtype',
    }),
    default: 'f32',
  }),
  blockSize: Type.Integer({
    ...extra({
      description: 'tokens in one block of the KV cache',
      group: 'KV cache',
      scope: 'engine',
    }),
    minimum: 4,
    maximum: 256,
    default: 16,
  }),
  enablePrefixCaching: Type.Boolean({
    ...extra({
      description: 'computes every prompt whole, without the cached blocks of others',
      group: 'KV cache',
      scope: 'server',
    }),
    default: true,
  }),
  evictionPolicy: Type.Enum([...EVICTION_POLICIES], {
    ...extra({
      description: 'which cached prefixes are given up first when blocks are needed',
      group: 'KV cache',
      scope: 'server',
      value: 'policy',
    }),
    default: 'predicted',
  }),
  kvHostMemory: Type.Optional(
    Type.Integer({
      ...extra({
        description:
          'memory for cached prefixes that have left the KV cache: 8GiB, or bytes (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'size',
        unit: 'bytes',
      }),
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
    }),
  ),
  kvCacheDir: Type.Optional(
    Type.String({
      ...extra({
        description:
          'directory for cached prefixes that have left memory; they outlive the server (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'dir',
      }),
      minLength: 1,
    }),
  ),
  kvCacheDisk: Type.Optional(
    Type.Integer({
      ...extra({
        description: 'size of the files in --kv-cache-dir, at most (default: 16GiB)',
        group: 'KV cache',
        scope: 'server',
        value: 'size',
        unit: 'bytes',
      }),
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
    }),
  ),
  kvTier: Type.Optional(
    Type.String({
      ...extra({
        description:
          'Redis or Valkey for cached prefixes that were asked for twice, which servers share (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'url',
        allowed: 'a redis:// or rediss:// URL',
      }),
      pattern: '^rediss?://[^/\\s]+',
    }),
  ),
  kvTierMemory: Type.Optional(
    Type.Integer({
      ...extra({
        description: "memory of this model's prefixes in --kv-tier, at most (default: 4GiB)",
        group: 'KV cache',
        scope: 'server',
        value: 'size',
        unit: 'bytes',
      }),
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
    }),
  ),
  kvTierTtl: Type.Integer({
    ...extra({
      description: 'seconds after its last use that a prefix stays in --kv-tier',
      group: 'KV cache',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 31_536_000,
    default: 86_400,
  }),
  kvTierPrefix: Type.String({
    ...extra({
      description: 'first part of the keys in --kv-tier',
      group: 'KV cache',
      scope: 'server',
      value: 'name',
      allowed: 'letters, digits, :, _, . and -',
    }),
    pattern: '^[A-Za-z0-9:_.-]+$',
    default: 'octavo:kv',
  }),
  maxNumSeqs: Type.Integer({
    ...extra({
      description: 'requests that run at the same time',
      group: 'Scheduling',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 65_536,
    default: 64,
  }),
  maxNumBatchedTokens: Type.Integer({
    ...extra({
      description: 'tokens in one step, over all requests',
      group: 'Scheduling',
      scope: 'engine',
    }),
    minimum: 1,
    maximum: 1_048_576,
    default: 512,
  }),
  schedulingPolicy: Type.Enum([...SCHEDULING_POLICIES], {
    ...extra({
      description:
        'order of service: arrival, the request field "priority", equal shares, the shortest expected output, the longest cached prefix',
      group: 'Scheduling',
      scope: 'server',
      value: 'policy',
    }),
    default: 'fcfs',
  }),
  admissionQuantile: Type.Number({
    ...extra({
      description:
        'share of outputs for which the blocks suffice that are kept free at admission, learned from earlier ones; 0: none are kept',
      group: 'Scheduling',
      scope: 'server',
      value: 'share',
    }),
    minimum: 0,
    maximum: 0.99,
    default: 0,
  }),
  longPrefillTokenThreshold: Type.Integer({
    ...extra({
      description: 'maximum tokens of one prompt per step; 0: what the budget of the step leaves',
      group: 'Scheduling',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1_048_576,
    default: 0,
  }),
  threads: Type.Integer({
    ...extra({ description: 'threads that compute', group: 'Scheduling', scope: 'engine' }),
    minimum: 1,
    maximum: 1024,
    default: availableCpus(),
  }),
  traceSteps: Type.Optional(
    Type.String({
      ...extra({
        description:
          'file to which each decision of the scheduler is appended, with the token ids of all requests; for octavo replay (default: none)',
        group: 'Logs, metrics and traces',
        scope: 'engine',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
};

export const EngineSettingsSchema = Type.Object(ENGINE_SETTINGS);

export type EngineSettings = Static<typeof EngineSettingsSchema>;
