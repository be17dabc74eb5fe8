import type { Logger } from 'pino';
import type { Engine } from '../engine/client/engine-port.js';
import type { Clock } from '../engine/clock.js';
import type { OctavoError } from '../engine/errors.js';
import type { MessageForms } from '../engine/generation/message-form.js';
import type { GrammarChecker } from '../engine/grammar/grammar-checker.js';
import type { ServedModel } from '../engine/text/served-model.js';
import type { Settings } from './config/settings.js';
import type { EndedRequests } from './dashboard/ended-requests.js';
import type { InFlight } from './http/in-flight.js';
import type { OneByOne } from './http/turns.js';
import type { Admission } from './limits/admission.js';
import type { OutputMemory } from './limits/output-memory.js';
import type { ServerMetrics } from './metrics/server-metrics.js';
import type { RequestTracer } from './tracing/request-tracer.js';

/** What every route needs. Built once for a server. */
export interface AppContext {
  readonly engine: Engine;
  readonly model: ServedModel;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A new Uint32, for requests without a seed. */
  readonly randomSeed: () => number;
  readonly metrics: ServerMetrics;
  readonly endedRequests: EndedRequests;
  readonly messageForms: MessageForms;
  /** Where grammars are checked: never on this thread. The caller closes it. */
  readonly grammars: GrammarChecker;
  /** For requests whose tools take the template long. */
  readonly largeTools: OneByOne;
  readonly inFlight: InFlight;
  readonly admission: Admission;
  readonly outputMemory: OutputMemory;
  /** OpenAI's `system_fingerprint`: another one when the same request may be answered otherwise. */
  readonly fingerprint: string;
  /** Null: nothing is traced. */
  readonly tracer: RequestTracer | null;
  /** When the server was started, seconds since 1970. */
  readonly createdAt: number;
}

/** What a request's log line and trace say about the work it caused; filled while it runs. Times are in milliseconds. */
export interface GenerationRecord {
  id: string;
  model: string;
  stream: boolean;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  /** From the arrival at the engine to the first step, and from there to the first token: of the completion that was first. */
  queueMs: number | null;
  prefillMs: number | null;
  /** From the arrival at the server to the first token, and to the last. */
  ttftMs: number | null;
  generatedMs: number | null;
  finishReason: string | null;
  /** What the model read; only with `--log-prompts`. */
  prompts?: readonly string[];
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Monotonic, milliseconds. */
    arrivedAt: number;
    generation: GenerationRecord | null;
    /** What ended it, if that was no success. */
    failure: OctavoError | null;
    /** First 8 hexadecimal digits of the SHA-256 of the key that it was sent with; null where no key is asked for. */
    keyFingerprint: string | null;
  }
}
