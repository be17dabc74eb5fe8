import { Agent, errors, request } from 'undici';
import type { EndpointOptions } from './options.js';
import { SseParser } from './sse-parser.js';
import type { Prompt } from './workload.js';

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

/** Sends streaming requests to an OpenAI-compatible endpoint and takes the times. */
export class StreamingClient {
  readonly #options: EndpointOptions;
  readonly #now: () => number;
  readonly #agent = new Agent({
    connections: null,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  readonly #path: string;

  constructor(options: EndpointOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
    this.#path = options.kind === 'chat' ? '/v1/chat/completions' : '/v1/completions';
  }

  /**
   * Never rejects: failures are results.
   *
   * @param onOutput called for each chunk with output, as it comes
   */
  async send(
    prompt: Prompt,
    maxTokens: number,
    signal: AbortSignal,
    onOutput: () => void,
  ): Promise<RequestResult> {
    const stream = new StreamRecord(this.#now, onOutput);
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    let error: string | null;
    let detail: string | null = null;
    try {
      const response = await request(this.#options.url + this.#path, {
        method: 'POST',
        dispatcher: this.#agent,
        signal: AbortSignal.any([signal, timeout]),
        headers: this.#headers(),
        body: JSON.stringify(this.#body(prompt, maxTokens)),
      });
      if (response.statusCode === 200) {
        for await (const bytes of response.body) stream.push(bytes as Uint8Array);
        error = stream.problem();
      } else {
        error = `http_${response.statusCode}`;
        detail = errorMessage(await response.body.text());
      }
    } catch (failure) {
      if (signal.aborted) error = 'cut';
      else if (timeout.aborted) error = 'timeout';
      else {
        error = errorKind(failure);
        detail = failure instanceof Error ? failure.message : String(failure);
      }
    }
    return { ...stream.result(error, detail), maxTokens };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #headers(): Record<string, string> {
    const { apiKey } = this.#options;
    const key = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
    return { 'content-type': 'application/json', accept: 'text/event-stream', ...key };
  }

  #body(prompt: Prompt, maxTokens: number): object {
    const { model, temperature, ignoreEos, extraBody } = this.#options;
    return {
      model,
      ...promptFields(prompt),
      max_tokens: maxTokens,
      temperature,
      stream: true,
      stream_options: { include_usage: true },
      ...(ignoreEos ? { ignore_eos: true } : {}),
      ...extraBody,
    };
  }
}

function promptFields(prompt: Prompt): object {
  switch (prompt.kind) {
    case 'ids':
      return { prompt: prompt.ids };
    case 'text':
      return { prompt: prompt.text };
    case 'messages':
      return { messages: prompt.messages };
  }
}

/** The state of a stream so far. */
class StreamRecord {
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
function errorMessage(body: string): string {
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

function errorKind(failure: unknown): string {
  const { code } = failure as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'connect';
  if (code === 'ECONNRESET' || code === 'EPIPE' || failure instanceof errors.SocketError) {
    return 'disconnect';
  }
  return code === undefined ? 'other' : code.toLowerCase();
}
