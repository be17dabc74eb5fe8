import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../../engine/sampling/sampling-params.js';
import { replayTrace } from '../../../engine/trace/replay.js';
import { openTrace, type TraceEvent } from '../../../engine/trace/step-trace.js';
import { FULL_ATTENTION } from '../../../kvcache/cache-group.js';
import {
  EVICTION_POLICIES,
  type EvictionPolicyName,
} from '../../../kvcache/eviction/create-eviction.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import type { SchedulerConfig } from '../../../scheduler/limits.js';
import { SCHEDULING_POLICIES } from '../../../scheduler/policies/scheduling-policy.js';
import { CoreHarness } from '../../support/core-harness.js';
import { LateConstraint } from '../../support/late-constraint.js';
import { LateTier } from '../../support/late-tier.js';
import { expectedText } from '../../support/paged-model.js';
import { range } from '../../support/sequences.js';

/**
 * A run with hits, forks, proposals, preemptions, pauses, aborts, refusals and a reset; its lines.
 */
async function traceOfRun(
  eviction: EvictionPolicyName = 'lru',
  scheduling: Partial<SchedulerConfig> = {},
): Promise<string[]> {
  const lines: string[] = [];
  const h: CoreHarness = new CoreHarness({
    numBlocks: 16,
    maxNumSeqs: 4,
    groups: [FULL_ATTENTION, { kind: 'sliding-window', window: 6 }],
    switchLengths: [24],
    eviction,
    ...scheduling,
    trace: (event) => void lines.push(JSON.stringify(event)),
    propose: (id, most) =>
      id === 'b'
        ? (expectedText(range(3, 8), 12, h.vocabSize)
            .slice(h.texts.get('b')?.length)
            .slice(0, Math.min(most, 3)) as TokenId[])
        : [],
  });
  h.add('a', range(0, 12), 14, { cacheSalt: 'secret of a tenant', tenant: 'secret of a tenant' });
  h.add('b', range(3, 8), 12, { route: 'chat', priority: 1 });
  h.add(['x', 'y', 'z'], range(0, 10), 6, { sampling: { ...GREEDY, temperature: 1, seed: 7 } });
  for (let i = 0; i < 4; i++) await h.step();
  h.core.pause(['a', 'x'] as SequenceId[]);
  h.add('c', range(0, 12), 9);
  expect(() => h.add('c', range(0, 3), 1)).toThrow('in use');
  for (let i = 0; i < 3; i++) await h.step();
  h.core.abort('y' as SequenceId);
  expect(h.core.resetPrefixCache()).toBe(false);
  h.core.resume(['a', 'x'] as SequenceId[]);
  await h.runToEnd();
  expect(h.core.resetPrefixCache()).toBe(true);
  h.add('d', range(20, 10), 20);
  h.add('e', range(31, 10), 20);
  await h.runToEnd();
  if (!scheduling.admissionQuantile) expect(h.scheduler.numPreemptions).toBeGreaterThan(0);
  expect(h.texts.get('b')).toEqual(expectedText(range(3, 8), 12, h.vocabSize));
  return lines;
}

const eventOf = (line: string): TraceEvent => JSON.parse(line) as TraceEvent;

describe('a trace of steps', () => {
  it('makes every decision again of a run with tiers, without them', async () => {
    const lines: string[] = [];
    const far = [new LateTier(2)];
    const h = new CoreHarness({
      numBlocks: 12,
      tiers: { places: 12, far },
      trace: (event) => void lines.push(JSON.stringify(event)),
    });
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 4; i++) h.add(`${round}.${i}`, range(10 * i, 18), 4);
      await h.runToEnd();
    }
    expect(far[0].loaded).toBeGreaterThan(0);
    expect(lines.some((line) => line.includes('"blockLoads"'))).toBe(true);
    expect(await replayTrace(lines)).toMatchObject({ requests: 12, difference: null });
    const forgotten = lines.map((line) => line.replace(/"answers":"[01]*"/, '"answers":""'));
    expect((await replayTrace(forgotten)).difference).not.toBeNull();
  });

  it('makes every decision again of a run with pinned prefixes', async () => {
    const lines: string[] = [];
    const h = new CoreHarness({
      numBlocks: 20,
      maxModelLength: 24,
      trace: (event) => void lines.push(JSON.stringify(event)),
    });
    h.add('warm', range(0, 10), 0, { pin: 'system' });
    await h.runToEnd();
    for (const from of [15, 20, 25, 30]) h.add(`flood ${from}`, range(from, 20), 4);
    await h.runToEnd();
    h.add('user', range(0, 10), 2);
    await h.runToEnd();
    expect(h.first.get('user')?.cachedTokens).toBe(8);
    expect([h.core.unpin('system'), h.core.unpin('system')]).toEqual([true, false]);
    expect(await replayTrace(lines)).toMatchObject({ requests: 6, difference: null });
    const notPinned = lines.map((line) => line.replace('"pin":"system",', ''));
    expect((await replayTrace(notPinned)).difference).toMatchObject({ at: '[0].pinnedTokens' });
    const notUnpinned = lines.filter((line) => !line.includes('"answer":true'));
    expect((await replayTrace(notUnpinned)).difference).toMatchObject({ event: 'unpin' });
  });

  it.each(EVICTION_POLICIES)(
    'makes every decision of a run again, evicting by %s',
    async (policy) => {
      const lines = await traceOfRun(policy);
      const kinds = new Set(lines.map((line) => eventOf(line).event));
      expect([...kinds].sort((a, b) => a.localeCompare(b))).toEqual([
        'abort',
        'add',
        'apply',
        'pause',
        'resetPrefixCache',
        'resume',
        'schedule',
        'start',
      ]);
      const steps = lines.filter((line) => {
        const event = eventOf(line);
        return event.event === 'schedule' && event.answer !== null;
      });
      expect(await replayTrace(lines)).toEqual({
        runs: 1,
        requests: 7,
        steps: steps.length,
        difference: null,
      });
      // Two runs in one file: an engine that was started again.
      expect(await replayTrace([...lines, '', ...lines])).toMatchObject({
        runs: 2,
        difference: null,
      });
    },
  );

  it.each(SCHEDULING_POLICIES)('makes every decision again, scheduling by %s', async (policy) => {
    for (const admissionQuantile of [0, 0.5]) {
      const lines = await traceOfRun('lru', { policy, admissionQuantile });
      expect(await replayTrace(lines)).toMatchObject({ requests: 7, difference: null });
    }
  });

  it('leaves out what waits for a mask, as the run did', async () => {
    const lines: string[] = [];
    const h = new CoreHarness({ trace: (event) => void lines.push(JSON.stringify(event)) });
    const constraint = new LateConstraint(h.vocabSize, (accepted) => accepted === 2);
    h.add('late', [1, 2], 5, {}, [constraint]);
    h.add('a', [3, 4], 9);
    for (let i = 0; i < 5; i++) await h.step();
    const plans = lines.flatMap((line) => {
      const event = eventOf(line);
      return event.event === 'schedule' ? [event.answer?.sequences.length] : [];
    });
    expect(plans).toEqual([2, 2, 2, 1, 1]);
    constraint.arrive();
    await h.runToEnd();
    expect(await replayTrace(lines)).toMatchObject({ requests: 2, difference: null });
  });

  it('holds no salt, which is a secret', async () => {
    expect((await traceOfRun()).join('\n')).not.toContain('secret of a tenant');
  });

  it('says where a decision differs', async () => {
    const lines = await traceOfRun();
    const at = lines.findIndex((line) => {
      const event = eventOf(line);
      return event.event === 'schedule' && event.answer?.sequences.length === 3;
    });
    const event = eventOf(lines[at]) as TraceEvent & { event: 'schedule' };
    const sequences = event.answer?.sequences.map((s, i) =>
      i === 2 ? { ...s, numComputed: 99 } : s,
    );
    const changed = { ...event, answer: { ...event.answer, sequences } };
    const told = await replayTrace([
      ...lines.slice(0, at),
      JSON.stringify(changed),
      ...lines.slice(at + 1),
    ]);
    expect(told.difference).toEqual({
      line: at + 1,
      event: 'schedule',
      at: 'sequences[2].numComputed',
      traced: 99,
      replayed: event.answer?.sequences[2].numComputed,
    });
  });

  it('differs where a scheduler of another kind decided, and where one only fails now', async () => {
    const [first, ...others] = await traceOfRun();
    const start = eventOf(first) as TraceEvent & { event: 'start' };
    const other = { ...start, scheduler: { ...start.scheduler, maxNumSeqs: 2 } };
    const { difference } = await replayTrace([JSON.stringify(other), ...others]);
    expect(difference).toMatchObject({ event: 'schedule' });
    const withoutPlan = others.find((line) => eventOf(line).event === 'apply') as string;
    const failed = await replayTrace([first, withoutPlan]);
    expect(failed.difference?.replayed).toEqual({ error: 'no plan was made before it' });
  });

  it.each([
    ['nonsense', 'line 1: not JSON'],
    ['null', 'line 1: no event of a trace'],
    ['{"event":"abort","id":"a","answer":true}', 'line 1: a trace begins with a start event'],
    ['{"event":"start","version":9}', 'line 1: version 9 of traces, this program reads 2'],
  ])('refuses %s', async (line, message) => {
    await expect(replayTrace([line])).rejects.toThrow(message);
  });

  it('is appended to a file line by line, which must be writable', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'trace-')), 'steps.jsonl');
    for (const answer of [true, false]) openTrace(path)({ event: 'resetPrefixCache', answer });
    expect(readFileSync(path, 'utf8')).toBe(
      '{"event":"resetPrefixCache","answer":true}\n{"event":"resetPrefixCache","answer":false}\n',
    );
    expect(() => openTrace(tmpdir())).toThrow(/^--trace-steps .*: cannot be written: EISDIR/);
  });
});
