import { describe, expect, it } from 'vitest';
import type { GrammarConstraint, GrammarSource } from '../../../engine/core/grammar-source.js';
import { OctavoError } from '../../../engine/errors.js';
import type { EngineMessage } from '../../../engine/protocol/messages.js';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import { EngineLoop, type EngineLoopOptions } from '../../../engine/thread/engine-loop.js';
import { NO_BLOCK } from '../../../kvcache/ids.js';
import type { SequenceId, TokenId } from '../../../scheduler/ids.js';
import { CoreHarness } from '../../support/core-harness.js';
import { LateConstraint } from '../../support/late-constraint.js';
import { LateTier } from '../../support/late-tier.js';
import { expectedText } from '../../support/paged-model.js';
import { plainRequest } from '../../support/plain-request.js';

const NO_GRAMMARS: GrammarSource = {
  constrain: () => Promise.reject(new Error('no grammars here')),
  close: () => Promise.resolve(),
};

const request = (id: string, prompt: readonly number[], maxTokens: number): EngineRequest =>
  plainRequest({
    ids: [id as SequenceId],
    promptTokenIds: prompt as readonly TokenId[],
    maxTokens,
  });

/** A loop at work, what it has sent, and a way to wait for a message. */
function start(
  harness: CoreHarness,
  grammars: GrammarSource = NO_GRAMMARS,
  options: EngineLoopOptions = {},
) {
  const sent: EngineMessage[] = [];
  let check: () => void = () => undefined;
  const loop = new EngineLoop(
    harness.core,
    (message) => {
      sent.push(message);
      check();
    },
    grammars,
    options,
  );
  const ended = loop.run();
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      check = () => {
        if (condition()) resolve();
      };
      check();
    });
  const outputs = (id: string) =>
    sent.flatMap((m) => (m.type === 'step' ? m.outputs.filter((o) => o.id === id) : []));
  return { loop, sent, ended, until, outputs };
}

describe('EngineLoop', () => {
  it('sleeps without work, wakes for a request, and ends when closed', async () => {
    const harness = new CoreHarness();
    const { loop, ended, until, outputs } = start(harness);
    await new Promise((resolve) => setImmediate(resolve));
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 4) });
    await until(() => outputs('a').some((o) => o.finishReason === 'length'));
    expect(outputs('a').flatMap((o) => o.tokenIds)).toEqual(expectedText([1, 2, 3], 4, 50));
    loop.post({ type: 'close' });
    await ended;
  });

  it('aborts within one step', async () => {
    const harness = new CoreHarness();
    const { loop, ended, until, outputs, sent } = start(harness);
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 200) });
    await until(() => outputs('a').length === 3);
    loop.post({ type: 'abort', id: 'a' as SequenceId });
    await until(() => !harness.core.hasWork);
    // The step under way may still bring one token.
    expect(outputs('a').length).toBeLessThanOrEqual(4);
    await until(() => {
      const last = sent.at(-1);
      return last?.type === 'step' && last.stats.usedBlocks === 0;
    });
    loop.post({ type: 'close' });
    await ended;
  });

  it('answers resets in their order, and names a tier that cannot be cleared', async () => {
    const far = new LateTier(0);
    const harness = new CoreHarness({ tiers: { places: 8, far: [far] } });
    const { loop, ended, until, sent } = start(harness);
    const answers = (): EngineMessage[] => sent.filter((m) => m.type === 'prefixCacheReset');
    far.isUp = false;
    loop.post({ type: 'resetPrefixCache', tiers: true });
    loop.post({ type: 'resetPrefixCache', tiers: false });
    await until(() => answers().length === 2);
    expect(answers()).toMatchObject([
      {
        done: true,
        error: {
          kind: 'kv_tier_not_cleared',
          message: expect.stringContaining('but not disk') as string,
        },
      },
      { done: true },
    ]);
    expect(answers()[1]).not.toHaveProperty('error');
    loop.post({ type: 'close' });
    await ended;
  });

  it('refuses what can never run and goes on', async () => {
    const harness = new CoreHarness({ maxModelLength: 32 });
    const { loop, ended, until, sent, outputs } = start(harness);
    loop.post({ type: 'submit', request: request('big', [1, 2, 3], 200) });
    loop.post({ type: 'submit', request: request('ok', [1, 2, 3], 2) });
    await until(() => outputs('ok').length === 2);
    expect(sent[0]).toMatchObject({
      type: 'refused',
      ids: ['big'],
      error: { kind: 'context_length_exceeded' },
    });
    loop.post({ type: 'close' });
    await ended;
  });

  it('sends the changes of the prefix cache after each step, and after a reset at once', async () => {
    const harness = new CoreHarness({ cacheEvents: true });
    const { loop, ended, until, sent } = start(harness);
    loop.post({ type: 'submit', request: request('a', [1, 2, 3, 4, 5, 6], 4) });
    await until(() =>
      sent.some((m) => m.type === 'step' && m.outputs.at(-1)?.finishReason === 'length'),
    );
    loop.post({ type: 'resetPrefixCache', tiers: false });
    await until(() => sent.some(({ type }) => type === 'prefixCacheReset'));
    const events = sent.flatMap((m) => (m.type === 'cacheEvents' ? [m.events] : []));
    // Blocks of 4: one of the prompt, one that the answer fills.
    expect(events).toMatchObject([
      [{ type: 'stored', index: 0, tokenIds: [1, 2, 3, 4] }],
      [{ type: 'stored', index: 1 }],
      [{ type: 'cleared' }],
    ]);
    // The step is over by then.
    const types = sent.map(({ type }) => type);
    expect(types.indexOf('cacheEvents')).toBe(types.indexOf('step') + 1);
    loop.post({ type: 'close' });
    await ended;
  });

  it('invariant 12: checks its books when it is idle, and ends when they are wrong', async () => {
    const harness = new CoreHarness();
    const { loop, ended, until, outputs } = start(harness, NO_GRAMMARS, { idleCheckMs: 1 });
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 2) });
    await until(() => outputs('a').length === 2);
    harness.cache.pool.allocate({ group: 0, position: 0, parent: NO_BLOCK });
    await expect(ended).rejects.toThrow('in 0 tables, its count is 1');
  });

  it('waits for a command when there is work and nothing of it can run', async () => {
    const harness = new CoreHarness();
    const schedule = harness.scheduler.schedule.bind(harness.scheduler);
    harness.scheduler.schedule = () => null;
    const { loop, ended, until, sent, outputs } = start(harness);
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 4) });
    // Timers and the port get their turns: a loop of microtasks would never come back here.
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sent.length).toBeLessThan(3);
    harness.scheduler.schedule = schedule;
    loop.post({ type: 'submit', request: request('b', [4, 5], 2) });
    await until(() => ['a', 'b'].every((id) => outputs(id).at(-1)?.finishReason === 'length'));
    loop.post({ type: 'close' });
    await ended;
  });

  it('pauses and resumes within a step, and tells the figures when nothing else does', async () => {
    const harness = new CoreHarness();
    const { loop, ended, until, outputs, sent } = start(harness);
    const paused = () => sent.flatMap((m) => (m.type === 'step' ? [m.stats.paused] : [])).at(-1);
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 20) });
    await until(() => outputs('a').length === 3);
    loop.post({ type: 'pause', ids: ['a', 'gone'] as unknown as SequenceId[] });
    await until(() => paused() === 1);
    const { length } = outputs('a');
    expect(length).toBeLessThanOrEqual(4);
    loop.post({ type: 'submit', request: request('b', [4, 5], 5) });
    await until(() => outputs('b').length === 5);
    expect(outputs('a')).toHaveLength(length);
    loop.post({ type: 'resume', ids: ['a'] as unknown as SequenceId[] });
    await until(() => outputs('a').at(-1)?.finishReason === 'length');
    expect(outputs('a').flatMap((o) => o.tokenIds)).toEqual(expectedText([1, 2, 3], 20, 50));
    loop.post({ type: 'close' });
    await ended;
  });

  it('rejects when a step does', async () => {
    const harness = new CoreHarness();
    harness.model.execute = () => Promise.reject(new Error('the model broke'));
    const { loop, ended } = start(harness);
    loop.post({ type: 'submit', request: request('a', [1], 1) });
    await expect(ended).rejects.toThrow('the model broke');
  });

  it('adds a request with a grammar when it is compiled, between two steps of others', async () => {
    const harness = new CoreHarness();
    const grammars = new ScriptedGrammars();
    const { loop, ended, until, outputs } = start(harness, grammars);
    loop.post({ type: 'submit', request: constrained('g', 3) });
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 20) });
    await until(() => outputs('a').length === 5);
    expect(outputs('g')).toEqual([]);
    grammars.finish(only(7));
    await until(() => outputs('g').length === 3);
    expect(outputs('g').flatMap((o) => o.tokenIds)).toEqual([7, 7, 7]);
    await until(() => outputs('a').length === 20);
    expect(outputs('a').flatMap((o) => o.tokenIds)).toEqual(expectedText([1, 2, 3], 20, 50));
    expect(grammars.disposed).toBe(1);
    loop.post({ type: 'close' });
    await ended;
    expect(grammars.isClosed).toBe(true);
  });

  it('sleeps while all that is left waits for a mask, and goes on when it is there', async () => {
    const harness = new CoreHarness();
    const grammars = new ScriptedGrammars();
    const { loop, sent, ended, until, outputs } = start(harness, grammars);
    const late = new LateConstraint(harness.vocabSize, (accepted) => accepted === 1);
    loop.post({ type: 'submit', request: constrained('g', 3) });
    await grammars.asked(1);
    grammars.finish((onDispose) => Object.assign(late, { failure: null, dispose: onDispose }));
    await until(() => outputs('g').length === 1);
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    const before = sent.length;
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(sent.length).toBe(before);
    late.arrive();
    await until(() => outputs('g').at(-1)?.finishReason === 'length');
    expect(outputs('g').flatMap(({ tokenIds }) => tokenIds)).toHaveLength(3);
    loop.post({ type: 'close' });
    await ended;
  });

  it('forgets a request that is aborted while its grammar compiles', async () => {
    const harness = new CoreHarness();
    const grammars = new ScriptedGrammars();
    const { loop, ended, until, sent, outputs } = start(harness, grammars);
    const two = { ...constrained('g', 3), ids: ['g', 'h'] as unknown as SequenceId[] };
    loop.post({ type: 'submit', request: two });
    loop.post({ type: 'submit', request: constrained('i', 2) });
    loop.post({ type: 'abort', id: 'g' as SequenceId });
    loop.post({ type: 'abort', id: 'i' as SequenceId });
    await until(() => sent.some((m) => m.type === 'step' && m.stats.waiting === 1));
    expect(grammars.signals.map((signal) => signal.aborted)).toEqual([false, true]);
    grammars.finish(only(7));
    await until(() => outputs('h').some((o) => o.finishReason === 'length'));
    expect(outputs('g').concat(outputs('i'))).toEqual([]);
    expect(grammars.disposed).toBe(3);
    loop.post({ type: 'close' });
    await ended;
  });

  it('refuses a grammar that does not compile, and ends a completion whose grammar is lost', async () => {
    const harness = new CoreHarness();
    const grammars = new ScriptedGrammars();
    const { loop, ended, until, sent, outputs } = start(harness, grammars);
    const refused = (id: string) =>
      sent.find((m) => m.type === 'refused' && m.ids.includes(id as SequenceId));
    loop.post({ type: 'submit', request: constrained('g', 3) });
    await grammars.asked(1);
    grammars.fail(new OctavoError('invalid_request', 'no such grammar'));
    await until(() => refused('g') !== undefined);
    expect(refused('g')).toMatchObject({ error: { message: 'no such grammar' } });
    loop.post({ type: 'submit', request: constrained('h', 30) });
    loop.post({ type: 'submit', request: request('a', [1, 2, 3], 30) });
    await grammars.asked(2);
    grammars.finish(only(7, 4));
    await until(() => refused('h') !== undefined);
    expect(outputs('h').flatMap((o) => o.tokenIds)).toEqual([7, 7, 7, 7]);
    await until(() => outputs('a').length === 30);
    loop.post({ type: 'close' });
    await ended;
  });
});

describe('EngineLoop, watched', () => {
  const snapshots = (sent: readonly EngineMessage[]) =>
    sent.flatMap((message) => (message.type === 'snapshot' ? [message.snapshot] : []));

  it('takes snapshots while somebody watches, four a second at most, and the last change too', async () => {
    let time = 0;
    const harness = new CoreHarness();
    const { loop, sent, ended, until, outputs } = start(harness, NO_GRAMMARS, { now: () => time });
    loop.post({ type: 'submit', request: request('unseen', [1, 2, 3], 5) });
    await until(() => outputs('unseen').at(-1)?.finishReason === 'length');
    expect(snapshots(sent)).toEqual([]);

    loop.post({ type: 'watch', on: true });
    loop.post({ type: 'submit', request: request('seen', [1, 2, 3, 4, 5], 6) });
    await until(() => outputs('seen').at(-1)?.finishReason === 'length');
    // The clock stands still: the picture of the beginning is the only one.
    expect(snapshots(sent)).toHaveLength(1);
    expect(snapshots(sent)[0].requests).toMatchObject([
      { ids: ['seen'], state: 'waiting', promptTokens: 5, computed: 0, maxTokens: 6, blocks: [] },
    ]);
    time = 250;
    await until(() => snapshots(sent).length === 2);
    expect(snapshots(sent)[1].requests).toEqual([]);

    time = 500;
    loop.post({ type: 'watch', on: false });
    loop.post({ type: 'submit', request: request('later', [7], 3) });
    await until(() => outputs('later').at(-1)?.finishReason === 'length');
    expect(snapshots(sent)).toHaveLength(2);
    loop.post({ type: 'close' });
    await ended;
  });
});

const constrained = (id: string, maxTokens: number): EngineRequest => ({
  ...request(id, [4, 5], maxTokens),
  grammar: { kind: 'regex', source: 'x' },
  eosTokenIds: [0 as TokenId],
});

/** Allows one token, for so many steps; then it fails. */
const only =
  (token: number, steps = Infinity) =>
  (onDispose: () => void): GrammarConstraint => {
    let left = steps;
    let failure: OctavoError | null = null;
    return {
      mask() {
        if (left-- <= 0) failure = new OctavoError('internal', 'lost');
        const mask = new Int32Array(2);
        mask[token >>> 5] = 1 << (token & 31);
        return failure ? null : mask;
      },
      isReady: () => true,
      whenReady: () => Promise.resolve(),
      forced: () => [],
      accept: () => undefined,
      rollback: () => undefined,
      dispose: onDispose,
      get failure() {
        return failure;
      },
    };
  };

/** Grammars that compile when the test says so. */
class ScriptedGrammars implements GrammarSource {
  readonly signals: AbortSignal[] = [];
  disposed = 0;
  isClosed = false;
  #waiting: {
    count: number;
    resolve: (made: GrammarConstraint[]) => void;
    reject: (error: unknown) => void;
  }[] = [];

  constrain(asked: { count: number }, signal: AbortSignal): Promise<GrammarConstraint[]> {
    this.signals.push(signal);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ count: asked.count, resolve, reject });
    });
  }

  /** Waits until so many requests have come. */
  async asked(count: number): Promise<void> {
    while (this.signals.length < count) await new Promise((resolve) => setImmediate(resolve));
  }

  finish(make: (onDispose: () => void) => GrammarConstraint): void {
    for (const { count, resolve } of this.#waiting.splice(0)) {
      resolve(Array.from({ length: count }, () => make(() => (this.disposed += 1))));
    }
  }

  fail(error: OctavoError): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
