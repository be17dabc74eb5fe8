import { afterEach, expect, it } from 'vitest';
import type { Clock, Timer } from '../../../engine/clock.js';
import type { FiguresEvent, ServerEvent } from '../../../server/dashboard/events.js';
import { Ring } from '../../../server/dashboard/history.js';
import { ProcessProbe } from '../../../server/dashboard/process-probe.js';
import { HISTORY_SECONDS, type SampleField } from '../../../server/dashboard/sample.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

/** Time passes only when a test advances it; due timers run then. */
class ManualClock implements Clock {
  #now = 1000;
  readonly #timers = new Set<{ due: number; action: () => void }>();

  now(): number {
    return this.#now;
  }

  unixSeconds(): number {
    return 1_800_000_000;
  }

  startTimer(action: () => void, ms: number): Timer {
    const timer = { due: this.#now + ms, action };
    this.#timers.add(timer);
    const restart = (): void => {
      timer.due = this.#now + ms;
      this.#timers.add(timer);
    };
    return { restart, cancel: () => void this.#timers.delete(timer) };
  }

  /** Without a look at the timers: the event loop is blocked. */
  block(ms: number): void {
    this.#now += ms;
    this.#runDue();
  }

  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = Math.min(...[...this.#timers].map(({ due }) => due));
      if (next > end) break;
      this.#now = Math.max(this.#now, next);
      this.#runDue();
    }
    this.#now = end;
  }

  #runDue(): void {
    const due = [...this.#timers].filter((timer) => timer.due <= this.#now);
    for (const timer of due) {
      this.#timers.delete(timer);
      timer.action();
    }
  }
}

interface Reader {
  readonly server: ServerEvent;
  /** The next `figures`. */
  readonly next: () => Promise<FiguresEvent>;
}

async function openReader(url: string): Promise<Reader> {
  const response = await fetch(`${url}/dashboard/events`);
  const chunks = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  const event = async (name: string): Promise<unknown> => {
    for (;;) {
      const end = rest.indexOf('\n\n');
      if (end < 0) {
        rest += (await chunks?.read())?.value ?? '';
        continue;
      }
      const block = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const [, data] = /^event: (\w+)\ndata: (.*)$/s.exec(block)?.slice(1) ?? [];
      if (block.startsWith(`event: ${name}\n`)) return JSON.parse(data ?? '');
    }
  };
  const server = (await event('server')) as ServerEvent;
  return { server, next: async () => (await event('figures')) as FiguresEvent };
}

const fieldsOf =
  ({ fields }: ServerEvent) =>
  (sample: readonly number[] | undefined, name: SampleField): number | null | undefined =>
    sample?.[fields.indexOf(name)];

it('shows a reader that connects what happened before, and then what is new', async () => {
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('a'), bytesOf('bc')],
    finish: 'length',
    cachedTokens: 2,
  }));
  const clock = new ManualClock();
  const { url, post, log } = await startTestServer(engine, { clock });
  clock.pass(1000);
  await (await post('/v1/completions', { prompt: 'hello', max_tokens: 3 })).text();
  expect((await post('/v1/completions', { prompt: 7 })).status).toBe(400);
  expect((await post('/v1/completions', { prompt: 'x'.repeat(300) })).status).toBe(400);
  // A request is counted when its connection is done with it: a moment after its answer.
  await eventually(() => log.filter(({ msg }) => msg === 'request').length === 3, 'all counted');
  const timings = { schedule: 1, segments: 5, attention: 2, sample: 1, total: 12 };
  for (const listen of engine.stepListeners) listen({ numTokens: 4, timings, residency: null });
  engine.stats = { ...engine.stats, running: 3, waiting: 9, usedBlocks: 32 };
  clock.pass(1000);
  clock.block(4000);

  const { server, next } = await openReader(url);
  const field = fieldsOf(server);
  const { samples, ended, state } = await next();
  expect(state).toBe('ready');
  expect(samples).toHaveLength(3);
  const [quiet, busy, blocked] = samples;
  expect([field(quiet, 'time'), field(busy, 'time'), field(blocked, 'time')]).toEqual([
    2000, 3000, 7000,
  ]);
  expect([field(quiet, 'generated'), field(quiet, 'ttftP50'), field(quiet, 'segments')]).toEqual([
    0,
    null,
    null,
  ]);
  const busyFigures = {
    generated: 3,
    prompt: 5,
    cached: 2,
    succeeded: 1,
    clientErrors: 2,
    serverErrors: 0,
    'rejected context_length_exceeded': 1,
    'rejected overloaded': 0,
    running: 3,
    waiting: 9,
    usedBlocks: 32,
    segments: 5,
    other: 3,
  } as const;
  for (const [name, value] of Object.entries(busyFigures)) {
    expect([name, field(busy, name as SampleField)]).toEqual([name, value]);
  }
  expect(field(busy, 'rss')).toBeGreaterThan(1e6);
  // A second that took five, because nothing could run.
  expect(field(blocked, 'seconds')).toBe(4);
  expect(field(blocked, 'loopDelay')).toBeGreaterThanOrEqual(3800);
  expect(ended).toMatchObject([{ promptTokens: 5, generated: 3, finish: 'length', status: 200 }]);

  clock.pass(1000);
  const news = await next();
  expect(news.samples.map((sample) => field(sample, 'time'))).toEqual([8000]);
  expect(news.ended).toEqual([]);
});

it('keeps fifteen minutes, however long it runs', async () => {
  const clock = new ManualClock();
  const { url } = await startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })), {
    clock,
  });
  clock.pass(1000 * (HISTORY_SECONDS + 300));
  const { server, next } = await openReader(url);
  const { samples } = await next();
  expect(samples).toHaveLength(HISTORY_SECONDS);
  expect(fieldsOf(server)(samples[0], 'time')).toBe(1000 * 302);
});

it('measures how long the event loop is blocked, whoever looks first', () => {
  const clock = new ManualClock();
  const probe = new ProcessProbe(clock);
  clock.pass(1000);
  expect(probe.read().loopDelay).toBe(0);
  clock.block(700);
  expect(probe.read().loopDelay).toBeGreaterThanOrEqual(600);
  expect(probe.read().loopDelay).toBe(0);
  probe.close();
});

it('a ring gives what is left of what was asked for', () => {
  const ring = new Ring<string>(3);
  expect(ring.since(0)).toEqual([]);
  for (const item of ['a', 'b', 'c', 'd']) ring.add(item);
  expect([ring.next, ring.since(0), ring.since(3), ring.since(4)]).toEqual([
    4,
    ['b', 'c', 'd'],
    ['d'],
    [],
  ]);
});
