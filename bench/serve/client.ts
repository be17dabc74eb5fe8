import { Agent, errors, request } from 'undici';
import type { EndpointOptions } from './options.js';
import { errorMessage, type RequestResult, StreamRecord } from './stream-record.js';
import type { Prompt } from './workload.js';

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

function errorKind(failure: unknown): string {
  const { code } = failure as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'connect';
  if (code === 'ECONNRESET' || code === 'EPIPE' || failure instanceof errors.SocketError) {
    return 'disconnect';
  }
  return code === undefined ? 'other' : code.toLowerCase();
}

/** A greedy client whose answers have all the tokens that they may: for measurements. */
export const measuringClient = (
  { url, model, kind, timeoutMs }: Pick<EndpointOptions, 'url' | 'model' | 'kind' | 'timeoutMs'>,
  now: () => number,
): StreamingClient =>
  new StreamingClient(
    { url, model, kind, timeoutMs, apiKey: null, temperature: 0, ignoreEos: true, extraBody: {} },
    now,
  );

/** The same, of the embedded model. */
export const embeddedModelClient = (
  url: string,
  kind: EndpointOptions['kind'],
  now: () => number,
): StreamingClient => measuringClient({ url, model: 'octavo-tiny', kind, timeoutMs: 120_000 }, now);
