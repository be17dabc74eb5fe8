import type { SequenceId, TokenId } from '../../scheduler/ids.js';
import { createPolicy } from '../../scheduler/policies/create-policy.js';
import type { SchedulingPolicyName } from '../../scheduler/policies/scheduling-policy.js';
import { LearnedLengths } from '../../scheduler/prediction/length-predictor.js';
import { NO_TIERS } from '../../scheduler/prefix-tiers.js';
import { Sequence } from '../../scheduler/sequence.js';
import { SharedPrefixes } from '../../scheduler/shared-prefixes.js';
import { simulatedCache } from '../eviction/simulated-cache.js';

const DECISIONS = 20_000;
const PROMPT = 64;

/**
 * Microseconds for a decision of a policy: which sequence is next, its start and its first step,
 * and the arrival of another one.
 */
export function decisionMicros(policy: SchedulingPolicyName, waiting: number): number {
  const cache = simulatedCache(1);
  const config = {
    policy,
    maxNumSeqs: 64,
    maxNumBatchedTokens: 512,
    longPrefillThreshold: 0,
    maxModelLength: 4096,
    switchLengths: [],
    modelFingerprint: 'none',
  };
  const prefixes = new SharedPrefixes(config, cache, NO_TIERS);
  const predictor = new LearnedLengths(cache.blockSize);
  const port = createPolicy(policy, { config, prefixes, predictor });
  const sequences = Array.from({ length: waiting + DECISIONS }, (_, order) => {
    const promptTokenIds: TokenId[] = [];
    while (promptTokenIds.length < PROMPT) {
      promptTokenIds.push((order * PROMPT + promptTokenIds.length) as TokenId);
    }
    const spec = {
      ids: [`${order}` as SequenceId],
      promptTokenIds,
      maxTokens: 1 + (order % 100),
      stopTokenIds: [],
      priority: order % 5,
      arrivalTime: order,
      cacheSalt: null,
      computesWholePrompt: false,
      tenant: `tenant ${order % 100}`,
    };
    const blocks = prefixes.newBlocks(spec, PROMPT);
    return new Sequence(spec, spec.ids, promptTokenIds, order, blocks);
  });
  for (const sequence of sequences.slice(0, waiting)) port.add(sequence);
  const begin = performance.now();
  for (let i = 0; i < DECISIONS; i++) {
    const next = port.next() as Sequence;
    port.remove(next);
    port.started?.(next);
    port.computing?.(next, 0, PROMPT);
    port.stopped?.(next);
    port.add(sequences[waiting + i]);
  }
  return (1000 * (performance.now() - begin)) / DECISIONS;
}
