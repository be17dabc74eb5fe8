import type { SchedulingPolicyName } from '../../scheduler/policies/scheduling-policy.js';
import type { LengthPredictor } from '../../scheduler/prediction/length-predictor.js';
import { NO_TIERS } from '../../scheduler/prefix-tiers.js';
import { Scheduler } from '../../scheduler/scheduler.js';
import type { Sequence } from '../../scheduler/sequence.js';
import { simulatedCache } from '../eviction/simulated-cache.js';
import { type SimulatedRequest, type Simulation, simulate } from '../simulation/simulate.js';
import { type StepTimes, stepMs } from '../simulation/step-times.js';

export const MAX_RUNNING = 64;
export const STEP_TOKENS = 512;

export interface Setting {
  readonly name: string;
  readonly policy: SchedulingPolicyName;
  readonly admissionQuantile?: number;
  /** Lengths are known, not learned. */
  readonly isOracle?: boolean;
}

/** Knows how long outputs become. */
class OracleLengths implements LengthPredictor {
  readonly #requests: readonly SimulatedRequest[];

  constructor(requests: readonly SimulatedRequest[]) {
    this.#requests = requests;
  }

  expected({ ids: [id] }: Sequence): number {
    return this.#requests[Number(id.split('-')[0])].outputTokens;
  }

  quantile(sequence: Sequence): number {
    return this.expected(sequence);
  }

  ended(): void {
    // It knows already.
  }
}

/** Plays requests on a scheduler and a cache as a server has them by default. */
export function run(
  { policy, admissionQuantile = 0.2, isOracle = false }: Setting,
  requests: readonly SimulatedRequest[],
  numBlocks: number,
  times: StepTimes,
): Simulation {
  const cache = simulatedCache(numBlocks, { eviction: 'predicted' });
  const scheduler = new Scheduler(
    {
      policy,
      admissionQuantile,
      maxNumSeqs: MAX_RUNNING,
      maxNumBatchedTokens: STEP_TOKENS,
      longPrefillThreshold: 0,
      maxModelLength: 32_768,
      switchLengths: [],
      modelFingerprint: 'simulated',
    },
    cache,
    NO_TIERS,
    ...(isOracle ? [new OracleLengths(requests)] : []),
  );
  return simulate({ scheduler, requests, stepMs: (plan) => stepMs(times, plan) });
}
