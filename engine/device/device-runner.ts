import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { BlockLoad } from '../../kvcache/tier-contents.js';
import type { StepPlan } from '../../scheduler/step-plan.js';
import type { ModelRunner, RunnerTimings } from '../core/model-runner.js';
import type { LogitsQuery, LogitsResult } from '../decoding/logits-query.js';
import { DEVICE_INPUT } from '../importer/emit/device-inputs.js';
import type { PagedDecoder } from '../importer/emit/paged-decoder.js';
import { EXACT_SUMS } from '../importer/quantize/exact-weight-bits.js';
import { joinAnswers, piecesOf, readAnswer, rowTensors } from '../runner/logits-tensors.js';
import { buildStepBatch } from '../runner/step-batch.js';
import { stepTensors, take, ZeroPoints } from '../runner/tensors.js';
import { CHECK_BLOCKS, checkDeviceRows, randomBlock } from './check-device-rows.js';
import { batchTensors } from './device-batch.js';
import { DeviceCache } from './device-cache.js';
import { createDeviceSession } from './device-session.js';

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
  readonly canCopyBlocks = true;
  readonly #session: InferenceSession;
  readonly #model: Pick<PagedDecoder, 'whole' | 'servedLength'>;
  readonly #cache: DeviceCache;
  readonly #cacheTensors: ReadonlyMap<string, Tensor>;
  readonly #maxLogitRows: number;
  readonly #now: () => number;
  readonly #loadBlocks: DeviceRunnerOptions['loadBlocks'];
  readonly #zeroPoints = new ZeroPoints();
  #isDisposed = false;
  #timings: RunnerTimings = { segments: 0, attention: 0 };

  private constructor(
    session: InferenceSession,
    model: PagedDecoder,
    cache: DeviceCache,
    options: DeviceRunnerOptions,
  ) {
    const { maxLogitBytes = MAX_LOGIT_BYTES, now = () => performance.now() } = options;
    this.#session = session;
    this.#model = model;
    this.#cache = cache;
    this.#cacheTensors = new Map(
      cache.config.slots.flatMap((_, slot): [string, Tensor][] => [
        [DEVICE_INPUT.keyCache(slot), cache.keys(slot)],
        [DEVICE_INPUT.valueCache(slot), cache.values(slot)],
      ]),
    );
    this.#maxLogitRows = Math.max(1, Math.floor(maxLogitBytes / (4 * model.vocabSize)));
    this.#now = now;
    this.#loadBlocks = options.loadBlocks;
  }

  /**
   * @param cache for the model's layout; the runner owns it from now on
   * @throws OctavoError `device_unavailable` without a GPU; `model_unsupported` when ONNX Runtime
   *   refuses the graph, or tokens of different sequences would mix
   */
  static async create(
    model: PagedDecoder,
    cache: DeviceCache,
    options: DeviceRunnerOptions = {},
  ): Promise<DeviceRunner> {
    const { cpuNodes, weightsDir, saturates } = model;
    const session = await createDeviceSession(model.whole.model, {
      cpuNodes,
      weightsDir,
      ...(saturates && { sessionConfig: EXACT_SUMS }),
    });
    const { config } = cache;
    const trial = await DeviceCache.create({ ...config, numBlocks: CHECK_BLOCKS });
    try {
      await trial.write([0], [randomBlock(trial.bytesPerBlock)]);
      const checked = new DeviceRunner(session, model, trial, {});
      await checkDeviceRows(model, (plan, query) => checked.execute(plan, query), config.blockSize);
    } catch (error) {
      await session.release();
      await cache.dispose();
      throw error;
    } finally {
      await trial.dispose();
    }
    return new DeviceRunner(session, model, cache, options);
  }

  /** All of a step counts as `segments`: attention is a part of the graph. */
  get timings(): RunnerTimings {
    return this.#timings;
  }

  async execute(plan: StepPlan, query: LogitsQuery): Promise<LogitsResult> {
    const start = this.#now();
    if (plan.blockCopies.length > 0) await this.#cache.copy(plan.blockCopies);
    if (plan.blockLoads) await this.#load(plan.blockLoads);
    const batch = buildStepBatch(plan);
    const bounds = { ...this.#cache.config, maxLength: this.#model.servedLength };
    const tensors = new Map([
      ...stepTensors(batch, this.#zeroPoints),
      ...batchTensors(batch.attention, bounds),
      ...this.#cacheTensors,
    ]);
    const pieces = piecesOf(query, this.#maxLogitRows);
    const answers: LogitsResult[] = [];
    // A step of which nothing is asked runs, too: it stores keys and values.
    for (const piece of pieces.length > 0 ? pieces : [query]) {
      for (const [name, tensor] of rowTensors(withSum(piece))) tensors.set(name, tensor);
      const answer = readAnswer(await this.#run(tensors), piece);
      const softmaxSums = answer.softmaxSums.subarray(0, piece.softmaxSums.rows.length);
      answers.push({ ...answer, softmaxSums });
    }
    this.#timings = { segments: this.#now() - start, attention: 0 };
    return joinAnswers(answers, this.#maxLogitRows);
  }

  async dispose(): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#session.release();
    await this.#cache.dispose();
  }

  async #run(tensors: ReadonlyMap<string, Tensor>): Promise<ReadonlyMap<string, Tensor>> {
    const { inputs, outputs } = this.#model.whole;
    const feeds = Object.fromEntries(inputs.map((name) => [name, take(tensors, name)]));
    return new Map(Object.entries(await this.#session.run(feeds, outputs)));
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
