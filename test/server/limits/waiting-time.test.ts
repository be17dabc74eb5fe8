import { describe, expect, it } from 'vitest';
import { nearestRank } from '../../../bench/serve/statistics.js';
import { type Outcome, type Stream, simulate } from '../../support/simulated-server.js';

const LIMITS = { maxRequests: 256, maxTokens: 0, maxSeconds: 2, slots: 64 };
/** Of which what enters in the first seconds, while lengths are learned, is not counted. */
const TIMES = { warmMs: 7000, endMs: 18_000 };

/** All of one length. */
const fixed = (tokens: number) => () => ({ tokens, maxTokens: tokens });

/** The model ends them: exponential. */
const ended = (mean: number) => (draw: number) => ({
  tokens: Math.ceil(-mean * Math.log(1 - draw)),
  maxTokens: 4096,
});

const manyClients = (perSecond: number, output: Stream['output']): Stream[] =>
  Array.from({ length: 20 }, (_, i) => ({
    client: `client ${i}`,
    perSecond: perSecond / 20,
    output,
  }));

const waitsOf = ({ admitted }: Outcome, client?: string): number[] =>
  admitted
    .filter((admission) => client === undefined || admission.client === client)
    .flatMap(({ waited }) => waited ?? []);

const p99 = (outcome: Outcome): number => nearestRank(waitsOf(outcome), 0.99) ?? 0;

describe('under overload, the 99th percentile of the wait is within the limit and the slots are busy', () => {
  it.each([
    { what: 'sequences of one length, which end together', load: manyClients(400, fixed(128)) },
    { what: 'twice what can be served', load: manyClients(80, fixed(128)) },
    { what: 'lengths that only the model knows', load: manyClients(400, ended(100)) },
    { what: 'short sequences', load: manyClients(600, fixed(16)) },
  ])('$what', ({ load }) => {
    const outcome = simulate(LIMITS, load, TIMES);
    expect(waitsOf(outcome).length).toBeGreaterThan(300);
    expect(p99(outcome)).toBeLessThanOrEqual(2000);
    expect(outcome.utilization).toBeGreaterThanOrEqual(0.9);
  });

  it('few slots', () => {
    const outcome = simulate({ ...LIMITS, slots: 4 }, manyClients(60, fixed(64)), TIMES);
    expect(p99(outcome)).toBeLessThanOrEqual(2000);
    expect(outcome.utilization).toBeGreaterThanOrEqual(0.9);
  });

  it('sequences that hold their slots for longer than the limit: only one that finds none waiting may wait longer', () => {
    const outcome = simulate(LIMITS, manyClients(60, fixed(600)), {
      warmMs: 10_000,
      endMs: 34_000,
    });
    const late = waitsOf(outcome).filter((waited) => waited > 2000);
    expect(waitsOf(outcome).length).toBeGreaterThan(128);
    // One for each of the four times that all slots become free.
    expect(late.length).toBeLessThanOrEqual(4);
    expect(outcome.utilization).toBeGreaterThanOrEqual(0.9);
  });

  it('tells clients to stay away for about as long as the wait, and not all for the same', () => {
    const { refused } = simulate(LIMITS, manyClients(400, fixed(128)), TIMES);
    const seconds = new Set(refused.map(({ error }) => error.retryAfterSeconds));
    expect(Math.min(...[...seconds].map(Number))).toBeGreaterThanOrEqual(1);
    expect(Math.max(...[...seconds].map(Number))).toBeLessThanOrEqual(12);
    expect(seconds.size).toBeGreaterThanOrEqual(3);
  });
});

describe('clients share the queue', () => {
  const modest: Stream = { client: 'modest', perSecond: 3, output: fixed(128) };
  const refusedOf = ({ refused }: Outcome, client: string): number =>
    refused.filter((refusal) => refusal.client === client).length;

  it('one that sends 100 times what another does takes none of its places', () => {
    const greedy: Stream = { client: 'greedy', perSecond: 300, output: fixed(128) };
    const outcome = simulate(LIMITS, [greedy, modest], TIMES);
    expect(refusedOf(outcome, 'greedy')).toBeGreaterThan(1000);
    expect(refusedOf(outcome, 'modest')).toBeLessThanOrEqual(2);
    expect(waitsOf(outcome, 'modest').length).toBeGreaterThan(10);
    expect(p99(outcome)).toBeLessThanOrEqual(2000);
    expect(outcome.utilization).toBeGreaterThanOrEqual(0.9);
  });

  it('two that send too much get about the same, though one sends three times as much', () => {
    const greedy = ['a', 'b'].map((client, i) => ({
      client,
      perSecond: 300 / (1 + 2 * i),
      output: fixed(128),
    }));
    const outcome = simulate(LIMITS, [...greedy, modest], TIMES);
    const [a, b] = ['a', 'b'].map((client) => waitsOf(outcome, client).length);
    expect(a / b).toBeGreaterThan(0.6);
    expect(a / b).toBeLessThan(1.7);
    expect(refusedOf(outcome, 'modest')).toBeLessThanOrEqual(2);
  });
});
