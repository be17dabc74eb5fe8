import type { Logger } from 'pino';
import type { Clock } from './clock.js';
import type { Settings } from './config/settings.js';
import type { Engine } from './engine-port.js';
import type { MessageForms } from './generation/message-form.js';
import type { InFlight } from './http/in-flight.js';
import type { ServerMetrics } from './metrics.js';
import type { ServedModel } from './text/served-model.js';

/** What every route needs. Built once for a server. */
export interface AppContext {
  readonly engine: Engine;
  readonly model: ServedModel;
  readonly settings: Pick<
    Settings,
    'apiKey' | 'enablePrefixCaching' | 'pooling' | 'toolCallParser' | 'reasoningParser'
  >;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A new Uint32, for requests without a seed. */
  readonly randomSeed: () => number;
  readonly metrics: ServerMetrics;
  readonly messageForms: MessageForms;
  readonly inFlight: InFlight;
  /** When the server was started, seconds since 1970. */
  readonly createdAt: number;
}

/** What a request's log line says about the work it caused; filled while it runs. */
export interface GenerationRecord {
  id: string;
  model: string;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  /** Milliseconds from arrival to the first token. */
  ttftMs: number | null;
  finishReason: string | null;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Monotonic, milliseconds. */
    arrivedAt: number;
    generation: GenerationRecord | null;
  }
}
