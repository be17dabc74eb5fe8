import type { SequenceId } from '../../scheduler/ids.js';
import type { SequenceProgress } from '../../scheduler/sequence.js';
import { OctavoError, toErrorRecord } from '../errors.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { EngineInfo } from '../protocol/options.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineSnapshot, EngineStats } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import { SnapshotFeed } from '../thread/snapshot-feed.js';
import { checkEncoderRequest } from './check-request.js';
import type { Encoder } from './encoder.js';
import { EncoderQueue, type WaitingText } from './encoder-queue.js';

export interface EncoderLoopOptions {
  readonly maxNumSeqs: number;
  /** Whether smaller priorities come first. */
  readonly usesPriority: boolean;
  readonly send: (message: EngineMessage) => void;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/**
 * Drives an encoder: takes the engine's commands at any time, and computes the texts that wait,
 * batch after batch. There are no sequences that go on from step to step, and no cache: a text is
 * done when its batch is.
 */
export class EncoderLoop {
  readonly #encoder: Pick<Encoder, 'encode' | 'runsAlone'>;
  readonly #info: EngineInfo;
  readonly #send: (message: EngineMessage) => void;
  readonly #now: () => number;
  readonly #queue: EncoderQueue;
  readonly #snapshots: SnapshotFeed;
  /** What is computed now, without what was aborted meanwhile. */
  readonly #running = new Map<SequenceId, WaitingText>();
  #steps = 0;
  #isClosed = false;
  #wake: (() => void) | null = null;

  constructor(encoder: Encoder, info: EngineInfo, options: EncoderLoopOptions) {
    this.#encoder = encoder;
    this.#info = info;
    this.#send = options.send;
    this.#now = options.now;
    const limits = {
      maxSequences: encoder.runsAlone ? 1 : options.maxNumSeqs,
      maxTokens: info.maxNumBatchedTokens,
    };
    this.#queue = new EncoderQueue(limits, options.usesPriority, encoder.isPacked);
    this.#snapshots = new SnapshotFeed({
      take: () => this.#snapshot(),
      send: (snapshot) => this.#send({ type: 'snapshot', snapshot }),
      now: options.now,
    });
  }

  get stats(): EngineStats {
    return {
      running: this.#running.size,
      waiting: this.#queue.waiting.length,
      loading: 0,
      paused: 0,
      preemptions: 0,
      usedBlocks: 0,
      steps: this.#steps,
    };
  }

  /** Takes effect at once; what is being computed is computed to its end. */
  post(command: EngineCommand): void {
    this.#snapshots.touch();
    switch (command.type) {
      case 'submit':
        this.#add(command.request);
        break;
      case 'abort':
        if (this.#queue.remove(command.id) || this.#running.delete(command.id)) this.#tellStats();
        break;
      case 'resetPrefixCache':
        // Nothing is cached.
        this.#send({ type: 'prefixCacheReset', done: true });
        break;
      case 'watch':
        this.#snapshots.watch(command.on);
        break;
      case 'close':
        this.#isClosed = true;
        break;
      // A text is read at once: there is nothing to pause, to pin or to adapt.
      case 'pause':
      case 'resume':
      case 'unpin':
      case 'loadAdapter':
      case 'unloadAdapter':
        break;
    }
    this.#wake?.();
  }

  /** Runs until a `close` command; sleeps while nothing waits. */
  async run(): Promise<void> {
    while (!this.#isClosed) {
      this.#snapshots.sendIfDue();
      const batch = this.#queue.takeBatch();
      if (batch.length > 0) await this.#compute(batch);
      else await this.#nextCommand();
    }
  }

  #add(request: EngineRequest): void {
    try {
      checkEncoderRequest(request, this.#info);
    } catch (error) {
      if (!(error instanceof OctavoError)) throw error;
      this.#send({ type: 'refused', ids: request.ids, error: toErrorRecord(error) });
      return;
    }
    this.#queue.add({ id: request.ids[0], request, arrivedAt: this.#now() });
  }

  async #compute(batch: readonly WaitingText[]): Promise<void> {
    const begunAt = this.#now();
    for (const text of batch) this.#running.set(text.id, text);
    const inputs = batch.map(({ request: { promptTokenIds, secondFrom } }) => ({
      tokenIds: promptTokenIds,
      ...(secondFrom !== undefined && { secondFrom }),
    }));
    let vectors: Float32Array[];
    try {
      vectors = await this.#encoder.encode(inputs);
    } catch (error) {
      // The session itself is as it was: other texts can still be computed.
      this.#running.clear();
      this.#send({
        type: 'refused',
        ids: batch.map(({ id }) => id),
        error: toErrorRecord(error),
      });
      return;
    }
    const endedAt = this.#now();
    const outputs = batch.flatMap(({ id, arrivedAt }, index): SequenceOutput[] => {
      if (!this.#running.has(id)) return [];
      const times = { queued: begunAt - arrivedAt, prefill: endedAt - begunAt };
      const embedding = vectors[index];
      return [{ id, tokenIds: [], finishReason: 'stop', cachedTokens: 0, times, embedding }];
    });
    this.#running.clear();
    this.#steps += 1;
    const numTokens = inputs.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const total = endedAt - begunAt;
    const timings = { schedule: 0, segments: total, attention: 0, sample: 0, total };
    const report = { numTokens, timings, residency: null };
    this.#send({ type: 'step', outputs, stats: this.stats, report });
    this.#snapshots.touch();
  }

  #tellStats(): void {
    this.#send({ type: 'step', outputs: [], stats: this.stats, report: null });
  }

  #snapshot(): EngineSnapshot {
    const texts = [...this.#running.values(), ...this.#queue.waiting];
    return {
      time: this.#now(),
      stats: this.stats,
      blocks: {
        states: new Uint8Array(0),
        positions: new Int32Array(0),
        parents: new Int32Array(0),
        allocatedAt: new Float64Array(0),
      },
      requests: texts.slice(0, MAX_SHOWN).map((text) => this.#progress(text)),
    };
  }

  #progress({ id, request, arrivedAt }: WaitingText): SequenceProgress {
    return {
      ids: [id],
      state: this.#running.has(id) ? 'running' : 'waiting',
      promptTokens: request.promptTokenIds.length,
      computed: 0,
      generated: 0,
      maxTokens: 0,
      cachedTokens: null,
      arrivalTime: arrivedAt,
      blocks: [],
    };
  }

  async #nextCommand(): Promise<void> {
    let picture: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      const due = this.#snapshots.dueIn;
      // Timers may be a millisecond early.
      if (due !== null) picture = setTimeout(() => this.#snapshots.sendIfDue(), Math.ceil(due) + 1);
    });
    clearTimeout(picture);
    this.#wake = null;
  }
}

/** Texts of a snapshot; those that are behind them are in its figures. */
const MAX_SHOWN = 256;
