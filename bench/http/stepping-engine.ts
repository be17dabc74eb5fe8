import type { Engine } from '../../engine/client/engine-port.js';
import { OutputQueue } from '../../engine/client/output-queue.js';
import type { EngineInfo } from '../../engine/protocol/options.js';
import type { SequenceOutput } from '../../engine/protocol/outputs.js';
import type { EngineStats } from '../../engine/protocol/reports.js';
import type { EngineRequest } from '../../engine/protocol/request.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';

interface RunningSequence {
  readonly id: SequenceId;
  readonly queue: OutputQueue;
  left: number;
  /** The server has taken all outputs and waits for the next. */
  waiting: boolean;
}

/**
 * An engine that computes nothing: every turn of the event loop is a step, and gives a token to
 * each sequence whose reader waits. A token is never merged with the next, as it would be for a
 * slow reader, so that every token costs what it costs.
 */
export class SteppingEngine implements Engine {
  readonly info: EngineInfo;
  readonly stats: EngineStats = {
    running: 0,
    waiting: 0,
    paused: 0,
    loading: 0,
    preemptions: 0,
    usedBlocks: 0,
    steps: 0,
  };
  readonly state = 'ready';
  readonly #running = new Set<RunningSequence>();
  readonly #token: TokenId;
  #scheduled = false;

  /** @param token what every step gives; it must have text, or its chunk would be held back */
  constructor(token: TokenId, vocabSize: number) {
    this.#token = token;
    this.info = {
      vocabSize,
      hiddenSize: 1,
      evictionPolicy: 'predicted',
      maxModelLength: 32_768,
      device: 'cpu',
      kvDtype: 'f32',
      blockSize: 16,
      numBlocks: 1,
      maxNumBatchedTokens: 512,
    };
  }

  onStep(): () => void {
    return () => undefined;
  }

  onCacheEvents(): () => void {
    return () => undefined;
  }

  watch(): () => void {
    return () => undefined;
  }

  submit(request: EngineRequest, signal?: AbortSignal): AsyncIterable<SequenceOutput>[] {
    return request.ids.map((id) => this.#run(id, request.maxTokens, signal));
  }

  /** The server reads as fast as it can here. */
  pause(): void {}
  resume(): void {}
  unpin(): void {}

  resetPrefixCache(): Promise<boolean> {
    return Promise.resolve(true);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async *#run(
    id: SequenceId,
    maxTokens: number,
    signal?: AbortSignal,
  ): AsyncGenerator<SequenceOutput> {
    const queue = new OutputQueue();
    const sequence: RunningSequence = { id, queue, left: maxTokens, waiting: false };
    const abort = (): void =>
      sequence.queue.push({ id, tokenIds: [], finishReason: 'abort', cachedTokens: 0 });
    signal?.addEventListener('abort', abort, { once: true });
    this.#running.add(sequence);
    try {
      for (;;) {
        sequence.waiting = true;
        this.#schedule();
        const output = await sequence.queue.next();
        yield output;
        if (output.finishReason !== null) return;
      }
    } finally {
      this.#running.delete(sequence);
      signal?.removeEventListener('abort', abort);
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#step();
    });
  }

  #step(): void {
    for (const sequence of this.#running) {
      if (!sequence.waiting) continue;
      sequence.waiting = false;
      sequence.left--;
      sequence.queue.push({
        id: sequence.id,
        tokenIds: [this.#token],
        finishReason: sequence.left === 0 ? 'length' : null,
        cachedTokens: 0,
      });
    }
  }
}
