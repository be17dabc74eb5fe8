import type { TokenId } from '../../scheduler/ids.js';
import type { OctavoError } from '../errors.js';
import type { SequenceOutput, TokenLogprobs } from '../protocol/outputs.js';
import type { OutputMeter } from './engine-port.js';
import { outputBytes } from './output-size.js';

/** Maximum bytes that a reader gets at once, as one piece of text and one event. */
const PIECE_BYTES = 64 * 2 ** 10;

/** Waiting outputs, merged into one. It owns its arrays, which grow. */
interface Pending {
  readonly head: Omit<SequenceOutput, 'tokenIds' | 'logprobs'>;
  readonly tokenIds: TokenId[];
  readonly logprobs: TokenLogprobs[];
}

/**
 * Outputs of one sequence between the engine and their reader. Waiting outputs are merged into one,
 * so a slow reader costs token ids, not objects.
 */
export class OutputQueue {
  readonly #meter: OutputMeter | null;
  /** The only waiting output, unmerged: with a fast reader there is never a second one. */
  #single: SequenceOutput | null = null;
  #pending: Pending | null = null;
  #finished = false;
  /**
   * Bytes of the output handed out last, which count as unread until the reader asks for the next.
   */
  #handedOut = 0;
  #bytes = 0;
  #error: OctavoError | null = null;
  #wake: (() => void) | null = null;

  /** @param meter counts unread bytes; an output is unread until the reader asks for the next */
  constructor(meter?: OutputMeter) {
    this.#meter = meter ?? null;
  }

  /** After the final output, pushes are ignored. */
  push(output: SequenceOutput): void {
    if (this.#finished) return;
    this.#finished = output.finishReason !== null;
    if (this.#pending) append(this.#pending, output);
    else if (this.#single) this.#pending = merged(this.#single, output);
    this.#single = this.#pending ? null : output;
    const bytes = outputBytes(output);
    this.#bytes += bytes;
    this.#wake?.();
    this.#meter?.add(bytes);
  }

  /** Ends the queue with an error, after pending outputs. */
  fail(error: OctavoError): void {
    this.#error ??= error;
    this.#wake?.();
  }

  /** Must not be called by two readers at once. */
  async next(): Promise<SequenceOutput> {
    this.#release(this.#handedOut);
    if (!this.#single && !this.#pending && !this.#error) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    const output = this.#take();
    if (!output) throw this.#error as OctavoError;
    this.#handedOut = outputBytes(output);
    return output;
  }

  /** Call when the reader has left: nothing counts as unread any more, including later outputs. */
  close(): void {
    this.#finished = true;
    this.#single = null;
    this.#pending = null;
    this.#release(this.#bytes);
  }

  #release(bytes: number): void {
    this.#handedOut = 0;
    this.#bytes -= bytes;
    if (bytes > 0) this.#meter?.release(bytes);
  }

  #take(): SequenceOutput | null {
    const single = this.#single ?? (this.#pending && whole(this.#pending));
    if (!single) return null;
    this.#single = null;
    const count = piece(single);
    if (count >= single.tokenIds.length) {
      this.#pending = null;
      return single;
    }
    const { tokenIds, logprobs, stopToken, ...head } = single;
    const { id, cachedTokens, finishReason } = head;
    const end = { id, cachedTokens, finishReason };
    this.#pending = {
      head: stopToken === undefined ? end : { ...end, stopToken },
      tokenIds: tokenIds.slice(count),
      logprobs: logprobs?.slice(count) ?? [],
    };
    const begin = { ...head, tokenIds: tokenIds.slice(0, count), finishReason: null };
    return logprobs ? { ...begin, logprobs: logprobs.slice(0, count) } : begin;
  }
}

/** The number of an output's tokens that a reader gets at once, at least one. */
function piece({
  id,
  tokenIds,
  logprobs = [],
  finishReason,
  cachedTokens,
}: SequenceOutput): number {
  if (tokenIds.length <= 1) return tokenIds.length;
  const one = { tokenIds: tokenIds.slice(0, 1), logprobs: logprobs.slice(0, 1) };
  return Math.ceil(PIECE_BYTES / outputBytes({ ...one, id, finishReason, cachedTokens }));
}

function merged(earlier: SequenceOutput, later: SequenceOutput): Pending {
  const { tokenIds, logprobs = [], ...head } = earlier;
  const pending = { head, tokenIds: [...tokenIds], logprobs: [...logprobs] };
  append(pending, later);
  return pending;
}

function append(pending: Pending, { tokenIds, logprobs, ...head }: SequenceOutput): void {
  Object.assign(pending.head, head);
  for (const id of tokenIds) pending.tokenIds.push(id);
  for (const scores of logprobs ?? []) pending.logprobs.push(scores);
}

function whole({ head, tokenIds, logprobs }: Pending): SequenceOutput {
  return logprobs.length === 0 ? { ...head, tokenIds } : { ...head, tokenIds, logprobs };
}
