import type { SchedulerConfig } from '../limits.js';
import type { LengthPredictor } from '../prediction/length-predictor.js';
import { FairSharePolicy } from './fair-share.js';
import { LongestPrefixPolicy, type PrefixSource } from './longest-prefix.js';
import { fcfsRank, priorityRank, RankedPolicy, shortestRank } from './ranked-policy.js';
import type { SchedulingPolicy, SchedulingPolicyName } from './scheduling-policy.js';

/** What a policy is made for. */
export interface PolicyParts {
  readonly config: Pick<SchedulerConfig, 'maxNumBatchedTokens'>;
  readonly prefixes: PrefixSource;
  readonly predictor: LengthPredictor;
}

const CREATORS: Readonly<Record<SchedulingPolicyName, (parts: PolicyParts) => SchedulingPolicy>> = {
  fcfs: () => new RankedPolicy(fcfsRank),
  priority: () => new RankedPolicy(priorityRank),
  fair: () => new FairSharePolicy(),
  shortest: ({ predictor, config }) =>
    new RankedPolicy(shortestRank(predictor, config.maxNumBatchedTokens)),
  'longest-prefix': ({ prefixes }) => new LongestPrefixPolicy(prefixes),
};

/** A policy for which nothing waits. */
export function createPolicy(name: SchedulingPolicyName, parts: PolicyParts): SchedulingPolicy {
  return CREATORS[name](parts);
}
