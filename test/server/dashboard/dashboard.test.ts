import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import type { EngineSnapshot, TierStats } from '../../../engine/protocol/reports.js';
import type { BlockMap } from '../../../kvcache/block-map.js';
import type { FiguresEvent } from '../../../server/dashboard/events.js';
import { LatencyWindow } from '../../../server/dashboard/latency-window.js';
import { changedRuns, Watcher } from '../../../server/dashboard/watcher.js';
import { bytesOf } from '../../support/byte-model.js';
import { MEMORY_TIER, ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const script = () => ({ steps: [bytesOf('a'), bytesOf('b')], finish: 'length' as const });

function snapshot(time: number, states: number[]): EngineSnapshot {
  const blocks: BlockMap = {
    states: Uint8Array.from(states),
    positions: Int32Array.from(states, (state) => (state === 0 ? -1 : 0)),
    parents: Int32Array.from(states, () => -1),
    allocatedAt: Float64Array.from(states, () => 0),
  };
  const stats = {
    running: 0,
    waiting: 0,
    loading: 0,
    paused: 0,
    preemptions: 0,
    usedBlocks: 0,
    steps: 0,
  };
  return { time, stats, blocks, requests: [] };
}

it('asks the engine for snapshots while somebody watches, and no longer', async () => {
  const engine = new ScriptedEngine(script);
  const { url } = await startTestServer(engine);
  expect(engine.watchers.size).toBe(0);
  const controllers = [new AbortController(), new AbortController()];
  const streams = await Promise.all(
    controllers.map(({ signal }) => fetch(`${url}/dashboard/events`, { signal })),
  );
  expect(streams[0].headers.get('content-type')).toContain('text/event-stream');
  expect(engine.watchers.size).toBe(2);
  for (const watch of engine.watchers) watch(snapshot(5, [0, 0, 2]));
  const reader = streams[1].body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('event: snapshot')) text += (await reader?.read())?.value ?? '';
  expect(text).toContain('"numBlocks":64');
  expect(text).toContain('"runs":[[0,2,0,-1,0,-1],[2,1,2,0,0,-1]]');
  for (const controller of controllers) controller.abort();
  await eventually(() => engine.watchers.size === 0, 'nobody watches');
});

it('guards what the dashboard shows by the key, but not the pages', async () => {
  const { url } = await startTestServer(new ScriptedEngine(script), { apiKeys: ['secret'] });
  expect((await fetch(`${url}/dashboard/events`)).status).toBe(401);
  const controller = new AbortController();
  const headers = { authorization: 'Bearer secret' };
  const options = { headers, signal: controller.signal };
  expect((await fetch(`${url}/dashboard/events`, options)).status).toBe(200);
  controller.abort();
  for (const path of ['/', '/dashboard', '/pages/chat.mjs', '/pages/uplot.css']) {
    const response = await fetch(url + path);
    expect([path, response.status]).toEqual([path, 200]);
    const policy = response.headers.get('content-security-policy');
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
    expect(policy).not.toContain('unsafe');
  }
  for (const file of ['none.mjs', '..%2fapp.ts', '%2e%2e%2f%2e%2e%2fpackage.json']) {
    expect((await fetch(`${url}/pages/${file}`)).status).toBe(404);
  }
});

it('tells the figures of tiers, and nothing where there are none', async () => {
  const tier: TierStats = { ...MEMORY_TIER, name: 'redis', isWritable: false };
  for (const tiers of [undefined, [tier]]) {
    const engine = new ScriptedEngine(script);
    if (tiers) engine.stats = { ...engine.stats, tiers };
    const { url } = await startTestServer(engine);
    const controller = new AbortController();
    const stream = await fetch(`${url}/dashboard/events`, { signal: controller.signal });
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!/event: figures\ndata: .*\n\n/.test(text)) text += (await reader?.read())?.value ?? '';
    controller.abort();
    const [, data] = /event: figures\ndata: (.*)\n/.exec(text) as RegExpExecArray;
    expect((JSON.parse(data) as FiguresEvent).tiers).toEqual(tiers);
  }
});

it('leaves out what a slow reader cannot take, and sends the difference to what it has', async () => {
  const sent: unknown[] = [];
  let release: () => void = () => undefined;
  const watcher = new Watcher((_name, data) => {
    sent.push(data);
    return new Promise((resolve) => {
      release = resolve;
    });
  });
  watcher.snapshot(snapshot(1, [0, 0, 0, 0]));
  for (let i = 0; i < 1000; i++) watcher.snapshot(snapshot(2 + i, [0, 2, 0, i === 999 ? 1 : 0]));
  expect(sent).toHaveLength(1);
  release();
  await eventually(() => sent.length === 2, 'the newest is sent');
  expect(sent[1]).toMatchObject({
    time: 1001,
    runs: [
      [1, 1, 2, 0, 0, -1],
      [3, 1, 1, 0, 0, -1],
    ],
  });
  release();
  await new Promise((resolve) => setImmediate(resolve));
  expect(sent).toHaveLength(2);
});

it('describes every change of a map in runs', () => {
  const block = fc.record({
    state: fc.nat(3),
    position: fc.integer({ min: -1, max: 3 }),
    parent: fc.integer({ min: -1, max: 8 }),
    allocatedAt: fc.nat(2),
  });
  const maps = fc.array(fc.tuple(block, block), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(maps, (pairs) => {
      const [before, after] = [0, 1].map((side): BlockMap => {
        const column = (name: 'state' | 'position' | 'parent' | 'allocatedAt'): number[] =>
          pairs.map((pair) =>
            pair[side]?.position === -1 && name === 'parent' ? -1 : (pair[side]?.[name] ?? 0),
          );
        return {
          states: Uint8Array.from(column('state')),
          positions: Int32Array.from(column('position')),
          parents: Int32Array.from(column('parent')),
          allocatedAt: Float64Array.from(column('allocatedAt')),
        };
      });
      // As the page reads them.
      for (const [first, count, state, position, allocatedAt, parent] of changedRuns(
        after,
        before,
      )) {
        for (let i = 0; i < count; i++) {
          before.states[first + i] = state;
          before.positions[first + i] = position < 0 ? -1 : position + i;
          before.parents[first + i] = i === 0 || position < 0 ? parent : first + i - 1;
          before.allocatedAt[first + i] = allocatedAt;
        }
      }
      expect(before).toEqual(after);
      expect(changedRuns(after, before)).toEqual([]);
    }),
  );
});

it('knows percentiles of the last seconds to 5 %', () => {
  const window = new LatencyWindow(30);
  expect(window.percentiles(100)).toBeNull();
  for (let i = 1; i <= 1000; i++) window.add(i / 1000, 1, 100 + (i % 20));
  const found = window.percentiles(120);
  for (const [name, exact] of [
    ['p50', 0.5],
    ['p95', 0.95],
    ['p99', 0.99],
  ] as const) {
    expect(Math.abs((found?.[name] ?? 0) / exact - 1)).toBeLessThan(0.05);
  }
  window.add(3, 5, 140);
  expect(window.percentiles(155)?.p50).toBeCloseTo(3, 0);
  expect(window.percentiles(171)).toBeNull();
});
