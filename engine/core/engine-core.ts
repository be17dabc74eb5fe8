import type { BlockResidency } from '../../kvcache/block-residency.js';
import type { KvCacheManager } from '../../kvcache/kv-cache-manager.js';
import type { RequestId } from '../../scheduler/ids.js';
import type { Refusal, Scheduler } from '../../scheduler/scheduler.js';
import type { RequestOutput, SampledToken, StepPlan } from '../../scheduler/step-plan.js';
import { OctavoError } from '../errors.js';
import { sampleToken } from '../sampling/sampler.js';
import type { SamplingParams } from '../sampling/sampling-params.js';
import type { ModelRunner } from './model-runner.js';
import type {
  CompletionOutput,
  EngineRequest,
  EngineStats,
  StepReport,
  StepTimings,
} from './protocol.js';

export interface EngineCoreDependencies {
  readonly scheduler: Scheduler;
  readonly runner: ModelRunner;
  readonly vocabSize: number;
  readonly cache: KvCacheManager;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly residency?: BlockResidency;
}

/**
 * Ties scheduler, model and sampler together. It has no thread and no loop of its own: whoever owns it calls
 * `step()` while there is work, and adds and aborts between two steps.
 */
export class EngineCore {
  readonly #dependencies: EngineCoreDependencies;
  readonly #sampling = new Map<RequestId, SequenceSampling>();
  #steps = 0;
  #timings: StepTimings = { schedule: 0, segments: 0, attention: 0, sample: 0, total: 0 };
  #report: StepReport | null = null;

  constructor(dependencies: EngineCoreDependencies) {
    this.#dependencies = dependencies;
  }

  get hasWork(): boolean {
    return this.#dependencies.scheduler.hasWork;
  }

  /** Where the last step's time went. */
  get timings(): StepTimings {
    return this.#timings;
  }

  /** The last step; null before the first. */
  get report(): StepReport | null {
    return this.#report;
  }

  get stats(): EngineStats {
    const { scheduler, cache } = this.#dependencies;
    return {
      running: scheduler.numRunning,
      waiting: scheduler.numWaiting,
      preemptions: scheduler.numPreemptions,
      usedBlocks: cache.pool.numUsed,
      steps: this.#steps,
    };
  }

  /** @throws OctavoError when the request can never run: what is wrong with it, and the limit */
  add(request: EngineRequest): void {
    const { scheduler, now, vocabSize } = this.#dependencies;
    const foreign = request.promptTokenIds.find((token) => token < 0 || token >= vocabSize);
    if (foreign !== undefined) {
      throw new OctavoError(
        'invalid_request',
        `prompt: token id ${foreign} is outside the vocabulary (0 to ${vocabSize - 1})`,
        { param: 'prompt' },
      );
    }
    const arrivalTime = now();
    const refusal = scheduler.add({ ...request, arrivalTime });
    if (refusal) throw refusalError(refusal, request);
    const times: RequestTimes = { arrived: arrivalTime, scheduled: null };
    request.ids.forEach((id, index) => {
      const seed = (request.sampling.seed + index) >>> 0;
      this.#sampling.set(id, { params: { ...request.sampling, seed }, generated: 0, times });
    });
  }

  /** Between two steps. @returns false when the completion has ended already */
  abort(id: RequestId): boolean {
    this.#sampling.delete(id);
    return this.#dependencies.scheduler.abort(id);
  }

  /** Between two steps. @returns false, with nothing changed, while blocks are in use */
  resetPrefixCache(): boolean {
    return this.#dependencies.cache.resetPrefixCache();
  }

  /** Between two steps. @throws Error when requests, queues and blocks contradict each other */
  checkIntegrity(): void {
    this.#dependencies.scheduler.checkIntegrity();
    if (!this.hasWork && this.#sampling.size > 0) {
      throw new Error(`${this.#sampling.size} completions have ended and are still sampled`);
    }
  }

  /** One step, if anything can run. A rejection is final: the engine must be thrown away. */
  async step(): Promise<CompletionOutput[]> {
    const { scheduler, runner, now } = this.#dependencies;
    const start = now();
    const plan = scheduler.schedule();
    if (!plan) return [];
    const scheduled = now();
    for (const { requestId } of plan.sequences) {
      const times = this.#sampling.get(requestId)?.times;
      if (times) times.scheduled ??= start;
    }
    const logits = await runner.execute(plan);
    const executed = now();
    const results = scheduler.apply(plan, this.#sample(plan, logits));
    const end = now();
    const outputs = results.map((output) => this.#withTimes(output, end));
    const [schedule, sample, total] = [scheduled - start, end - executed, end - start];
    this.#timings = { ...runner.timings, schedule, sample, total };
    for (const output of outputs) {
      if (output.finishReason !== null) this.#sampling.delete(output.requestId);
    }
    this.#steps += 1;
    this.#report = {
      numTokens: plan.numTokens,
      timings: this.#timings,
      residency: this.#dependencies.residency?.take() ?? null,
    };
    return outputs;
  }

  /** The first token of a completion says how long it took. */
  #withTimes(output: RequestOutput, end: number): CompletionOutput {
    const state = this.#sampling.get(output.requestId);
    if (state?.generated !== 1) return output;
    const { arrived, scheduled } = state.times;
    const begun = scheduled ?? end;
    return { ...output, times: { queued: begun - arrived, prefill: end - begun } };
  }

  #sample(plan: StepPlan, logits: Float32Array): SampledToken[] {
    const { vocabSize } = this.#dependencies;
    const sampled: SampledToken[] = [];
    let row = 0;
    for (const { samplers } of plan.sequences) {
      if (samplers.length === 0) continue;
      const rowLogits = logits.subarray(row * vocabSize, (row + 1) * vocabSize);
      for (const requestId of samplers) {
        const state = this.#sampling.get(requestId);
        if (!state) throw new Error(`the plan samples ${requestId}, which is not here`);
        const tokenId = sampleToken(rowLogits, state.params, state.generated);
        state.generated += 1;
        sampled.push({ requestId, tokenId });
      }
      row += 1;
    }
    return sampled;
  }
}

interface SequenceSampling {
  readonly params: SamplingParams;
  /** Index of the next token: with the seed it fixes the random number. */
  generated: number;
  readonly times: RequestTimes;
}

/** Shared by all completions of a request, on the engine's clock. */
interface RequestTimes {
  readonly arrived: number;
  /** The beginning of its first step. */
  scheduled: number | null;
}

function refusalError(refusal: Refusal, request: EngineRequest): OctavoError {
  const prompt = request.promptTokenIds.length;
  switch (refusal.reason) {
    case 'empty-prompt':
      return new OctavoError('invalid_request', 'prompt: must hold at least one token', {
        param: 'prompt',
      });
    case 'duplicate-id':
      return new OctavoError('internal', `request id ${request.ids.join(', ')} is in use`);
    case 'context':
      return new OctavoError(
        'context_length_exceeded',
        `This model's maximum context length is ${refusal.limit} tokens. The request asks for ${refusal.tokens} ` +
          `(${prompt} in the prompt, ${request.maxTokens} in the completion).`,
      );
    case 'pool':
      return new OctavoError(
        'context_length_exceeded',
        `The KV cache has ${refusal.limit} blocks. The request needs ${refusal.blocks} ` +
          `(${prompt} tokens in the prompt, ${request.maxTokens} in the completion).`,
      );
  }
}
