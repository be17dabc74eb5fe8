import { Worker } from 'node:worker_threads';
import type { CacheEvent } from '../../kvcache/cache-events.js';
import type { SequenceId } from '../../scheduler/ids.js';
import '../environment/no-telemetry.js';
import { fromErrorRecord, OctavoError } from '../errors.js';
import type { ConversionProgress } from '../importer/quantize/progress.js';
import type { EngineCommand, EngineMessage } from '../protocol/messages.js';
import type { EngineInfo, EngineOptions } from '../protocol/options.js';
import type { SequenceOutput } from '../protocol/outputs.js';
import type { EngineSnapshot, EngineStats, StepReport } from '../protocol/reports.js';
import type { EngineRequest } from '../protocol/request.js';
import type { OutputMeter } from './engine-port.js';
import { OutputQueue } from './output-queue.js';
import type { RestartableEngine } from './restarting-engine.js';
import { WorkerAdapters } from './worker-adapters.js';

export type WorkerEngineOptions = EngineOptions;

export interface WorkerEngineListeners {
  /** Called while weights are rewritten for the model cache. */
  readonly onConversion?: ConversionProgress;
  /** Receives what the engine does before it is ready, where it takes long. */
  readonly onNote?: (line: string) => void;
  /** Receives lines that the operator should see, also while the engine runs. */
  readonly onWarning?: (line: string) => void;
}

/**
 * Starts an engine in a separate thread.
 *
 * @param signal ends the loading, and nothing after it
 * @returns once the model is loaded
 * @throws OctavoError why the model cannot be loaded; `engine_failed` when the signal has ended it
 */
export async function createWorkerEngine(
  options: WorkerEngineOptions,
  listeners: WorkerEngineListeners = {},
  signal?: AbortSignal,
): Promise<RestartableEngine> {
  const { onConversion = () => undefined, onNote = () => undefined } = listeners;
  const { onWarning = () => undefined } = listeners;
  // Works from the sources (tests) and from dist.
  const fromSources = import.meta.url.endsWith('.ts');
  const program = options.isEncoder === true ? '../encoder/worker' : '../thread/worker';
  const entry = fromSources ? `${program}-dev.mjs` : `${program}.js`;
  const worker = new Worker(new URL(entry, import.meta.url), { workerData: options });
  worker.on('message', (message: EngineMessage) => {
    if (message.type === 'warning') onWarning(message.line);
    else if (message.type === 'note') onNote(message.line);
  });
  const end = (): void => void worker.terminate();
  signal?.addEventListener('abort', end);
  if (signal?.aborted) end();
  const first = await firstMessage(worker, onConversion);
  signal?.removeEventListener('abort', end);
  if (first.type === 'failed') {
    await worker.terminate();
    throw fromErrorRecord(first.error);
  }
  if (first.type !== 'ready') throw new Error(`the engine began with the message ${first.type}`);
  return new WorkerEngine(worker, first);
}

/**
 * Waits for the message that ends the loading. One listener for all messages, because one could be
 * missed between two listeners.
 */
function firstMessage(worker: Worker, onConversion: ConversionProgress): Promise<EngineMessage> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      worker.off('message', receive).off('error', reject).off('exit', ended);
    };
    const receive = (message: EngineMessage): void => {
      if (message.type === 'converting') {
        return onConversion(message.what, message.done, message.total);
      }
      if (message.type === 'warning' || message.type === 'note') return;
      settle();
      resolve(message);
    };
    const ended = (code: number): void => {
      const what = `the engine thread ended with code ${code} while loading`;
      reject(new OctavoError('engine_failed', what));
    };
    // 'error' is an exception that the worker did not handle itself.
    worker.on('message', receive).once('error', reject).once('exit', ended);
  });
}

type ReadyMessage = Extract<EngineMessage, { type: 'ready' }>;

/** The engine port over a worker thread's messages. */
class WorkerEngine implements RestartableEngine {
  readonly info: EngineInfo;
  readonly ended: Promise<OctavoError | null>;
  readonly adapters?: WorkerAdapters;
  readonly #worker: Worker;
  /** Of the sequences that the engine works on. */
  readonly #queues = new Map<SequenceId, OutputQueue>();
  /** Callers that wait for an answer, in the order of their commands. */
  readonly #resets: { resolve: (done: boolean) => void; reject: (error: OctavoError) => void }[] =
    [];
  readonly #stepListeners = new Set<(report: StepReport) => void>();
  readonly #cacheListeners = new Set<(events: readonly CacheEvent[]) => void>();
  readonly #watchers = new Set<(snapshot: EngineSnapshot) => void>();
  #stats: EngineStats;
  #failure: OctavoError | null = null;
  #closing = false;

  constructor(worker: Worker, { info, stats, adapters }: ReadyMessage) {
    this.#worker = worker;
    this.info = info;
    this.#stats = stats;
    if (adapters) {
      this.adapters = new WorkerAdapters(adapters, (command) => this.#send(command));
    }
    worker.on('message', (message: EngineMessage) => this.#receive(message));
    worker.on('error', (error) => this.#fail(error.message));
    worker.on('exit', (code) => this.#fail(`the engine thread ended with code ${code}`));
    this.ended = new Promise((resolve) =>
      worker.once('exit', () => resolve(this.#closing ? null : this.#failure)),
    );
  }

  get stats(): EngineStats {
    return this.#stats;
  }

  get state(): 'ready' | 'failed' {
    return this.#failure ? 'failed' : 'ready';
  }

  onStep(listener: (report: StepReport) => void): () => void {
    this.#stepListeners.add(listener);
    return () => void this.#stepListeners.delete(listener);
  }

  onCacheEvents(listener: (events: readonly CacheEvent[]) => void): () => void {
    this.#cacheListeners.add(listener);
    return () => void this.#cacheListeners.delete(listener);
  }

  watch(listener: (snapshot: EngineSnapshot) => void): () => void {
    this.#watchers.add(listener);
    this.#send({ type: 'watch', on: true });
    return () => {
      if (this.#watchers.delete(listener) && this.#watchers.size === 0) {
        this.#send({ type: 'watch', on: false });
      }
    };
  }

  submit(
    request: EngineRequest,
    signal?: AbortSignal,
    meter?: OutputMeter,
  ): AsyncIterable<SequenceOutput>[] {
    const queues = request.ids.map((id) => {
      const queue = new OutputQueue(meter);
      if (this.#failure) queue.fail(this.#failure);
      else this.#queues.set(id, queue);
      return queue;
    });
    if (!this.#failure) this.#send({ type: 'submit', request });
    return request.ids.map((id, index) => this.#outputs(id, queues[index], signal));
  }

  pause(ids: readonly SequenceId[]): void {
    this.#sendForLiving('pause', ids);
  }

  resume(ids: readonly SequenceId[]): void {
    this.#sendForLiving('resume', ids);
  }

  unpin(name: string): void {
    this.#send({ type: 'unpin', name });
  }

  resetPrefixCache(tiers = false): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#resets.push({ resolve, reject });
      this.#send({ type: 'resetPrefixCache', tiers });
    });
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#send({ type: 'close' });
    await this.ended;
  }

  /** One sequence's outputs. The signal takes effect at once, even before iteration begins. */
  #outputs(
    id: SequenceId,
    queue: OutputQueue,
    signal?: AbortSignal,
  ): AsyncGenerator<SequenceOutput> {
    const abort = (): void => {
      this.#abort(id);
      queue.push({ id, tokenIds: [], finishReason: 'abort', cachedTokens: 0 });
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    return this.#read(id, queue, () => signal?.removeEventListener('abort', abort));
  }

  async *#read(
    id: SequenceId,
    queue: OutputQueue,
    done: () => void,
  ): AsyncGenerator<SequenceOutput> {
    try {
      for (;;) {
        const output = await queue.next();
        yield output;
        if (output.finishReason !== null) return;
      }
    } finally {
      done();
      queue.close();
      this.#abort(id);
    }
  }

  /** Does nothing when the sequence has already ended. */
  #abort(id: SequenceId): void {
    if (this.#queues.delete(id)) this.#send({ type: 'abort', id });
  }

  #sendForLiving(type: 'pause' | 'resume', ids: readonly SequenceId[]): void {
    const living = ids.filter((id) => this.#queues.has(id));
    if (living.length > 0) this.#send({ type, ids: living });
  }

  #send(command: EngineCommand): void {
    this.#worker.postMessage(command);
  }

  #receive(message: EngineMessage): void {
    switch (message.type) {
      case 'step':
        this.#stats = message.stats;
        if (message.report) for (const listen of this.#stepListeners) listen(message.report);
        for (const output of message.outputs) {
          this.#queues.get(output.id)?.push(output);
          if (output.finishReason !== null) this.#queues.delete(output.id);
        }
        break;
      case 'refused':
        for (const id of message.ids) {
          this.#queues.get(id)?.fail(fromErrorRecord(message.error));
          this.#queues.delete(id);
        }
        break;
      case 'prefixCacheReset':
        if (message.error) this.#resets.shift()?.reject(fromErrorRecord(message.error));
        else this.#resets.shift()?.resolve(message.done);
        break;
      case 'adapterDone':
        this.adapters?.receive(message);
        break;
      case 'cacheEvents':
        for (const listen of this.#cacheListeners) listen(message.events);
        break;
      case 'snapshot':
        for (const listen of this.#watchers) listen(message.snapshot);
        break;
      case 'failed':
        this.#fail(message.error.message);
        break;
      case 'converting':
      case 'note':
      case 'warning':
      case 'ready':
        break;
    }
  }

  /** Fails all that wait, because the thread has ended. */
  #fail(reason: string): void {
    this.#failure ??= this.#closing
      ? new OctavoError('draining', 'the server is shutting down')
      : new OctavoError('engine_failed', `the engine has failed: ${reason}`);
    for (const queue of this.#queues.values()) queue.fail(this.#failure);
    this.#queues.clear();
    for (const { reject } of this.#resets.splice(0)) reject(this.#failure);
    this.adapters?.fail(this.#failure);
  }
}
