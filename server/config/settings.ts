import { type Static, Type } from 'typebox';
import { extra } from '../../engine/setting-schema.js';
import { ENGINE_SETTINGS } from '../../engine/settings.js';
import { DOOR_SETTINGS } from './door-settings.js';
import { HTTP_SETTINGS } from './http-settings.js';
import { MODEL_SETTINGS } from './model-settings.js';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** Hosts may be `*`, and ports `*` or 0, for any. */
const ZMQ_ADDRESS = '^@?(tcp://[^/\\s]+:(\\d+|\\*)|ipc://\\S+)$';

/**
 * Every setting of Octavo. Flags, environment variables, defaults, validation and `--help` are
 * derived from it: `maxNumSeqs` is `--max-num-seqs` and `OCTAVO_MAX_NUM_SEQS`.
 */
export const SettingsSchema = Type.Object({
  ...ENGINE_SETTINGS,
  ...MODEL_SETTINGS,
  fairShareBy: Type.Enum(['key', 'user'], {
    ...extra({
      description:
        'with --scheduling-policy fair: equal shares for keys (addresses, without keys), or for the users that each names',
      group: 'Scheduling',
      scope: 'server',
      value: 'who',
    }),
    default: 'key',
  }),
  allowRuntimeLoraUpdating: Type.Boolean({
    ...extra({
      description:
        'clients may load and unload adapters, from any directory that the server can read; prepares the model as --enable-lora does',
      group: 'Model',
      scope: 'server',
    }),
    default: false,
  }),
  warmPrefixes: Type.Optional(
    Type.String({
      ...extra({
        description:
          'file with prefixes that are computed before the first request, and stay cached (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
  kvEventsEndpoint: Type.Optional(
    Type.String({
      ...extra({
        description:
          'ZeroMQ address for KV events: tcp://*:5557 binds, @tcp://127.0.0.1:5557 too, tcp://host:5557 connects (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'address',
        allowed: 'tcp://host:port or ipc://path, with @ before it to bind',
      }),
      pattern: ZMQ_ADDRESS,
    }),
  ),
  kvEventsReplayEndpoint: Type.Optional(
    Type.String({
      ...extra({
        description:
          'ZeroMQ address to bind, where readers ask for events they missed (default: none)',
        group: 'KV cache',
        scope: 'server',
        value: 'address',
        allowed: 'tcp://host:port or ipc://path',
      }),
      pattern: ZMQ_ADDRESS,
    }),
  ),
  kvEventsTopic: Type.String({
    ...extra({
      description:
        "first frame of KV events, which readers subscribe to; llm-d's: kv@pod@model (default: empty)",
      group: 'KV cache',
      scope: 'server',
      value: 'text',
    }),
    default: '',
  }),
  kvEventsBufferSteps: Type.Integer({
    ...extra({
      description: 'batches of KV events that are kept for readers that missed them',
      group: 'KV cache',
      scope: 'server',
    }),
    minimum: 1,
    maximum: 1_000_000,
    default: 10_000,
  }),
  ...HTTP_SETTINGS,
  ...DOOR_SETTINGS,
  maxQueuedRequests: Type.Integer({
    ...extra({
      description: 'requests that may wait for their first token; 0: any number',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1_048_576,
    default: 256,
  }),
  maxQueuedTokens: Type.Integer({
    ...extra({
      description: 'prompt tokens that may wait, over all requests; 0: any number',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    default: 262_144,
  }),
  maxQueueTime: Type.Number({
    ...extra({
      description:
        'seconds that a request may be expected to wait for a slot; longer is a 503. 0: no limit',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 86_400,
    default: 2,
  }),
  maxPromptTokens: Type.Integer({
    ...extra({
      description: 'tokens of one prompt, at most; 0: what the context holds',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 16_777_216,
    default: 0,
  }),
  requestTimeout: Type.Number({
    ...extra({
      description: 'seconds that a request may take, queue included; 0: no limit',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 86_400,
    default: 600,
  }),
  rateLimitRequests: Type.Integer({
    ...extra({
      description: 'requests of one key, or address, per minute; 0: any number',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    default: 0,
  }),
  rateLimitTokens: Type.Integer({
    ...extra({
      description: 'tokens of one key, or address, per minute, prompts and outputs; 0: any number',
      group: 'Limits',
      scope: 'server',
    }),
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    default: 0,
  }),
  redisUrl: Type.Optional(
    Type.String({
      ...extra({
        description: 'Redis in which several servers count rate limits together (default: none)',
        group: 'Limits',
        scope: 'server',
        value: 'url',
        allowed: 'a redis:// or rediss:// URL',
      }),
      pattern: '^rediss?://[^/\\s]+',
    }),
  ),
  logLevel: Type.Enum([...LOG_LEVELS], {
    ...extra({
      description: 'least severe level that is logged',
      group: 'Logs, metrics and traces',
      scope: 'engine',
      value: 'level',
    }),
    default: 'info',
  }),
  logPrompts: Type.Boolean({
    ...extra({
      description: 'writes the prompts of all requests to the log',
      group: 'Logs, metrics and traces',
      scope: 'server',
    }),
    default: false,
  }),
  metricsPrefix: Type.String({
    ...extra({
      description: 'first part of the names in /metrics, before the colon',
      group: 'Logs, metrics and traces',
      scope: 'server',
      value: 'name',
      allowed: 'letters, digits and underscores, not a digit first',
    }),
    pattern: '^[a-zA-Z_][a-zA-Z0-9_]*$',
    default: 'vllm',
  }),
  kvMetricsSampleRate: Type.Number({
    ...extra({
      description: 'share of the KV blocks whose lives are measured for /metrics; 0: none',
      group: 'Logs, metrics and traces',
      scope: 'server',
    }),
    minimum: 0,
    maximum: 1,
    default: 0.01,
  }),
  otlpTracesEndpoint: Type.Optional(
    Type.String({
      ...extra({
        description:
          'OpenTelemetry collector for a trace of each request, by OTLP over HTTP (default: none)',
        group: 'Logs, metrics and traces',
        scope: 'server',
        value: 'url',
        allowed: 'an http:// or https:// URL',
      }),
      pattern: '^https?://[^/\\s]+',
    }),
  ),
  config: Type.Optional(
    Type.String({
      ...extra({
        description:
          'file of settings in YAML, by the names of flags; they win over it, and so do variables (default: octavo.yaml, where it is)',
        group: 'Configuration',
        scope: 'engine',
        value: 'file',
      }),
      minLength: 1,
    }),
  ),
});

export type Settings = Static<typeof SettingsSchema>;
export type SettingName = keyof Settings;
