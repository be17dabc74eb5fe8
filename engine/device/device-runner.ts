import type { BlockCopy } from '../../kvcache/kv-cache-config.js';
import type { BlockLoad } from '../../kvcache/tier-contents.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { ModelRunner, RunnerTimings } from '../core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import type { PagedDecoder } from '../importer/emit/paged-decoder.js';
import { joinAnswers, piecesOf, readAnswer, rowTensors } from '../runner/logits-tensors.js';
import { buildStepBatch } from '../runner/step-batch.js';
import { stepTensors, ZeroPoints } from '../runner/tensors.js';
import { checkDeviceRows } from './check-device-rows.js';
import { batchTensors } from './device-batch.js';
import type { PagedSession } from './paged-session.js';

export interface DeviceRunnerOptions {
  /** Monotonic, milliseconds; for `timings`. Absent: the process' own clock. */
  readonly now?: () => number;
  /** Writes a plan's loads into the cache; absent for a cache without tiers. */
  readonly loadBlocks?: (loads: readonly BlockLoad[]) => Promise<void>;
  /** Logits that exist at one time, at most; for tests. */
  readonly maxLogitBytes?: number;
}

/**
 * Logits of one run, at most. A prompt whose log-probabilities are wanted has a row for each token;
 * further rows take another run of the whole step, which writes the same keys and values again.
 */
const MAX_LOGIT_BYTES = 256 * 2 ** 20;

/**
 * Runs a decoder as one graph on a device. What crosses in a step are tokens, the batch and its
 * block tables, and what the query asks of the logits; keys and values never leave the device.
 */
export class DeviceRunner implements ModelRunner {
  readonly #session: PagedSession;
  readonly #servedLength: number;
  readonly #maxLogitRows: number;
  readonly #now: () => number;
  readonly #loadBlocks: DeviceRunnerOptions['loadBlocks'];
  readonly #zeroPoints = new ZeroPoints();
  #timings: RunnerTimings = { segments: 0, attention: 0 };

  private constructor(session: PagedSession, model: PagedDecoder, options: DeviceRunnerOptions) {
    const { maxLogitBytes = MAX_LOGIT_BYTES, now = () => performance.now() } = options;
    this.#session = session;
    this.#servedLength = model.servedLength;
    this.#maxLogitRows = Math.max(1, Math.floor(maxLogitBytes / (4 * model.vocabSize)));
    this.#now = now;
    this.#loadBlocks = options.loadBlocks;
  }

  /**
   * @param session of the model's graph, with `CHECK_BLOCKS` blocks or more, which it overwrites;
   *   the runner owns it from now on
   * @throws OctavoError `model_unsupported` when tokens of different sequences would mix
   */
  static async create(
    model: PagedDecoder,
    session: PagedSession,
    options: DeviceRunnerOptions = {},
  ): Promise<DeviceRunner> {
    const runner = new DeviceRunner(session, model, options);
    try {
      const { blockSize } = session.shape;
      await checkDeviceRows(model, (plan, query) => runner.execute(plan, query), blockSize);
      return runner;
    } catch (error) {
      await session.dispose();
      throw error;
    }
  }

  /** Not where the cache is a part of the graph. */
  get canCopyBlocks(): boolean {
    return this.#session.cache !== null;
  }

  /** All of a step counts as `segments`: attention is a part of the graph. */
  get timings(): RunnerTimings {
    return this.#timings;
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    const start = this.#now();
    if (plan.blockCopies.length > 0) await this.#copy(plan.blockCopies);
    if (plan.blockLoads) await this.#load(plan.blockLoads);
    const batch = buildStepBatch(plan);
    const bounds = { ...this.#session.shape, maxLength: this.#servedLength };
    const tensors = new Map([
      ...stepTensors(batch, this.#zeroPoints),
      ...batchTensors(batch.attention, bounds),
    ]);
    const pieces = piecesOf(query, this.#maxLogitRows);
    const answers: LogitsResult[] = [];
    // A step of which nothing is asked runs, too: it stores keys and values.
    for (const piece of pieces.length > 0 ? pieces : [query]) {
      for (const [name, tensor] of rowTensors(withSum(piece))) tensors.set(name, tensor);
      const answer = readAnswer(await this.#session.run(tensors), piece);
      const softmaxSums = answer.softmaxSums.subarray(0, piece.softmaxSums.rows.length);
      answers.push({ ...answer, softmaxSums });
    }
    this.#timings = { segments: this.#now() - start, attention: 0 };
    return joinAnswers(answers, this.#maxLogitRows);
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }

  async #copy(copies: readonly BlockCopy[]): Promise<void> {
    const { cache } = this.#session;
    if (cache === null) throw new Error('the plan copies blocks, and they cannot be copied');
    await cache.copy(copies);
  }

  async #load(loads: readonly BlockLoad[]): Promise<void> {
    if (!this.#loadBlocks) throw new Error('the plan loads blocks, and there are no tiers');
    await this.#loadBlocks(loads);
  }
}

/** Some kernels of WebGPU refuse to compute nothing, so that one sum is asked at least. */
function withSum(query: LogitsQuery): LogitsQuery {
  if (query.softmaxSums.rows.length > 0) return query;
  // Decided in any case: it asks for no whole row.
  const softmaxSums = { rows: [0], temperatures: [1], coverMasses: [-1], cutoffRatios: [0] };
  return { ...query, softmaxSums };
}
