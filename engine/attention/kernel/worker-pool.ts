import { Worker } from 'node:worker_threads';
import { OctavoError } from '../../errors.js';

/** Words of the control block that all threads share. */
export const CONTROL = {
  /** Counts calls; workers wait for it to change. */
  generation: 0,
  /** Workers that have not finished the call yet; the caller sleeps on it. */
  working: 1,
  group: 2,
  layer: 3,
  step: 4,
  /** Set when workers must end. */
  stop: 5,
  /** Set by a worker whose kernel threw. */
  failed: 6,
  /** Counts announcements of calls; workers sleep on it. */
  announced: 7,
} as const;

/**
 * Milliseconds for which a thread looks for what another one is about to do, before it sleeps:
 * several times what waking a thread takes.
 */
const SPIN_MS = 0.1;

/** Milliseconds after which a worker counts as dead. A call's tasks take a few. */
export const DEAD_AFTER_MS = 10_000;

/**
 * Worker threads that take tasks of the kernel along with the calling thread. They sleep between
 * calls: spinning would take cores from ONNX Runtime, which computes in between. So that they are
 * awake when there are tasks, a call is announced while the caller still prepares it.
 */
export class WorkerPool {
  readonly #control = new Int32Array(new SharedArrayBuffer(64));
  /** For tests, which end them. */
  readonly workers: readonly Worker[];
  readonly #deadAfterMs: number;
  #dead: string | null = null;
  #disposing = false;
  /** Whether workers know of the next call. */
  #isAnnounced = false;

  /**
   * @param memories one per layer group
   * @param scratch byte offsets by worker and group
   * @param entry what the workers call
   */
  constructor(
    module: WebAssembly.Module,
    memories: readonly WebAssembly.Memory[],
    scratch: readonly (readonly number[])[],
    deadAfterMs: number,
    entry: 'attendTasks' | 'recurTasks' = 'attendTasks',
  ) {
    this.#deadAfterMs = deadAfterMs;
    this.workers = scratch.map((offsets) => {
      const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
        workerData: {
          module,
          memories,
          scratch: offsets,
          control: this.#control,
          entry,
          CONTROL,
          SPIN_MS,
        },
      });
      worker.on('error', (error) => this.#lose(error.message));
      worker.on('exit', (code) => this.#lose(`it ended with code ${code}`));
      worker.unref();
      return worker;
    });
  }

  /** Wakes all workers: tasks are about to come. Without it, `begin` wakes them. */
  announce(): void {
    this.#isAnnounced = true;
    Atomics.add(this.#control, CONTROL.announced, 1);
    Atomics.notify(this.#control, CONTROL.announced);
  }

  /** Hands out a layer's tasks. The caller then takes tasks itself, and waits with `finish`. */
  begin(group: number, layer: number, step: number): void {
    this.check();
    const control = this.#control;
    control[CONTROL.group] = group;
    control[CONTROL.layer] = layer;
    control[CONTROL.step] = step;
    Atomics.store(control, CONTROL.working, this.workers.length);
    Atomics.add(control, CONTROL.generation, 1);
    Atomics.notify(control, CONTROL.generation);
    if (!this.#isAnnounced) this.announce();
    this.#isAnnounced = false;
  }

  /**
   * @throws OctavoError `engine_failed` when a worker has thrown or does not answer; the content of
   *   the pages is then undefined
   */
  finish(): void {
    const control = this.#control;
    // The last tasks of all threads end at about the same time.
    const end = performance.now() + SPIN_MS;
    while (Atomics.load(control, CONTROL.working) > 0 && performance.now() < end);
    for (let working = Atomics.load(control, CONTROL.working); working > 0; ) {
      if (Atomics.wait(control, CONTROL.working, working, this.#deadAfterMs) === 'timed-out') {
        this.#lose(`it did not answer for ${this.#deadAfterMs} ms`);
        break;
      }
      working = Atomics.load(control, CONTROL.working);
    }
    this.check();
  }

  /**
   * @throws OctavoError `engine_failed` when a worker has ended, even if no call has needed it
   *   since
   */
  check(): void {
    if (Atomics.load(this.#control, CONTROL.failed) !== 0) this.#lose('its kernel threw');
    if (this.#dead !== null) {
      throw new OctavoError('engine_failed', `an attention worker thread is lost: ${this.#dead}`);
    }
  }

  async dispose(): Promise<void> {
    if (this.#disposing) return;
    this.#disposing = true;
    Atomics.store(this.#control, CONTROL.stop, 1);
    Atomics.add(this.#control, CONTROL.generation, 1);
    Atomics.notify(this.#control, CONTROL.generation);
    this.announce();
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }

  #lose(reason: string): void {
    this.#dead ??= this.#disposing ? 'the pool was disposed' : reason;
  }
}
