import { SseParser } from './sse-parser.js';

/** What happened to one request. Times are milliseconds of the monotonic clock. */
export interface RequestResult {
  readonly sentAt: number;
  /** Time of the first output: text, or the end of an empty answer. Null when there was none. */
  readonly firstTokenAt: number | null;
  readonly endedAt: number;
  /** Between chunks with output. */
  readonly gaps: readonly number[];
  readonly text: string;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** The requested maximum. */
  readonly maxTokens: number;
  /** Cached prompt tokens, if the server reports them. */
  readonly cachedTokens: number;
  /** Where the counts of tokens come from; chunks are a guess, for servers without usage. */
  readonly countedBy: 'usage' | 'chunks';
  readonly finishReason: string | null;
  /** Kind of the error; null: the answer is complete. `cut` is no error, the run was ended. */
  readonly error: string | null;
  /** The error message of the server or the network. */
  readonly errorDetail: string | null;
}

interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
}

/** The parts of a chunk that are read, of both endpoints. */
interface Chunk {
  readonly error?: unknown;
  readonly choices?: readonly {
    readonly text?: string;
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
    };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: Usage | null;
}

const MAX_DETAIL = 160;

/** Reads a stream of server-sent events, and records what came when. */
export class StreamRecord {
  readonly #now: () => number;
  readonly #onOutput: () => void;
  readonly #parser = new SseParser();
  readonly #sentAt: number;
  readonly #gaps: number[] = [];
  #firstAt: number | null = null;
  #lastAt = 0;
  #text = '';
  #chunks = 0;
  #usage: Usage | null = null;
  #finishReason: string | null = null;
  #failed: string | null = null;
  #detail: string | null = null;
  #done = false;

  constructor(now: () => number, onOutput: () => void) {
    this.#now = now;
    this.#onOutput = onOutput;
    this.#sentAt = now();
  }

  push(bytes: Uint8Array): void {
    for (const data of this.#parser.push(bytes)) {
      if (data === '[DONE]') this.#done = true;
      else this.#event(data);
    }
  }

  /** Why an answer whose bytes have ended is not complete; null: it is. */
  problem(): string | null {
    if (this.#failed !== null) return this.#failed;
    return this.#done || this.#finishReason !== null ? null : 'incomplete_stream';
  }

  result(error: string | null, detail: string | null): Omit<RequestResult, 'maxTokens'> {
    const usage = this.#usage;
    const counted = usage?.completion_tokens !== undefined;
    return {
      sentAt: this.#sentAt,
      firstTokenAt: this.#firstAt,
      endedAt: this.#now(),
      gaps: this.#gaps,
      text: this.#text,
      promptTokens: usage?.prompt_tokens ?? 0,
      outputTokens: usage?.completion_tokens ?? this.#chunks,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      countedBy: counted ? 'usage' : 'chunks',
      finishReason: this.#finishReason,
      error,
      errorDetail: error === null ? null : shorten(detail ?? this.#detail ?? ''),
    };
  }

  #event(data: string): void {
    let chunk: Chunk;
    try {
      chunk = JSON.parse(data) as Chunk;
    } catch {
      this.#failed ??= 'bad_json';
      return;
    }
    if (chunk.error !== undefined) {
      this.#failed ??= 'error_event';
      this.#detail ??= errorMessage(data);
    }
    if (chunk.usage) this.#usage = chunk.usage;
    for (const { text, delta, finish_reason: finish } of chunk.choices ?? []) {
      const piece = text ?? delta?.content ?? '';
      this.#text += piece;
      // Reasoning counts as output.
      if (piece !== '' || (delta?.reasoning_content ?? '') !== '') this.#output();
      if (typeof finish === 'string') {
        this.#finishReason = finish;
        this.#firstAt ??= this.#now();
      }
    }
  }

  #output(): void {
    const now = this.#now();
    if (this.#firstAt === null) this.#firstAt = now;
    else this.#gaps.push(now - this.#lastAt);
    this.#lastAt = now;
    this.#chunks++;
    this.#onOutput();
  }
}

/** The message of an error body, or the body. */
export function errorMessage(body: string): string {
  try {
    const { error } = JSON.parse(body) as { error?: { message?: unknown } | string };
    const message = typeof error === 'object' ? error.message : error;
    return typeof message === 'string' ? message : body;
  } catch {
    return body;
  }
}

/** One short line: servers may answer with whole pages. */
function shorten(detail: string): string {
  return detail.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_DETAIL);
}
