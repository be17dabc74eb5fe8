import { afterEach, describe, expect, it } from 'vitest';
import type { TokenId } from '../../../scheduler/ids.js';
import { probe } from '../../../server/generation/probe.js';
import { bytesOf } from '../../support/byte-model.js';
import { type Script, ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const get = async (url: string, path: string): Promise<unknown> => (await fetch(url + path)).json();

async function serverWith(script: Partial<Script> = {}) {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: 'length', ...script }));
  return { engine, ...(await startTestServer(engine)) };
}

describe('what routers ask', () => {
  it('is the load: requests, and tokens in blocks of 16', async () => {
    const { engine, url } = await serverWith();
    engine.stats = {
      running: 3,
      waiting: 2,
      loading: 0,
      paused: 0,
      preemptions: 0,
      usedBlocks: 16,
      steps: 1,
    };
    expect(await get(url, '/get_load')).toEqual([
      { dp_rank: 0, num_reqs: 5, num_waiting_reqs: 2, num_tokens: 256 },
    ]);
    expect(await get(url, '/v1/loads?include=core')).toMatchObject({
      dp_rank_count: 1,
      loads: [
        {
          num_running_reqs: 3,
          num_waiting_reqs: 2,
          num_used_tokens: 256,
          max_total_num_tokens: 1024,
          token_usage: 0.25,
          max_running_requests: 64,
        },
      ],
    });
  });

  it('counts the requests in flight', async () => {
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    const { url, post } = await serverWith({ beforeStep: () => held });
    expect(await get(url, '/load')).toEqual({ server_load: 0 });
    const answers = [1, 2].map(() => post('/v1/completions', { prompt: 'x', max_tokens: 1 }));
    await eventually(async () => {
      const { server_load } = (await get(url, '/load')) as { server_load: number };
      return server_load === 2;
    }, 'two requests');
    go();
    await Promise.all(answers);
    await eventually(
      async () => ((await get(url, '/load')) as { server_load: number }).server_load === 0,
      'none',
    );
  });

  it('is the server, under both names', async () => {
    const { url } = await serverWith();
    const info = await get(url, '/server_info');
    expect(info).toMatchObject({ model_id: 'byte-model', kv_block_size: 16, context_length: 256 });
    expect(await get(url, '/get_server_info')).toEqual(info);
    expect(await get(url, '/get_model_info')).toMatchObject({ model_path: 'byte-model' });
  });

  it('needs a key where the server has keys', async () => {
    const { url } = await startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })), {
      apiKeys: ['k'],
    });
    for (const path of ['/load', '/v1/loads', '/get_load', '/server_info', '/health_generate']) {
      expect((await fetch(url + path)).status).toBe(401);
    }
  });
});

describe('/health_generate', () => {
  it('is 200 once the engine has given a token', async () => {
    const { engine, url } = await serverWith();
    expect((await fetch(`${url}/health_generate`)).status).toBe(200);
    expect(engine.submitted.map(({ request }) => request.promptTokenIds.length)).toEqual([1]);
    expect(engine.alive).toEqual([]);
  });

  it('is 200 when a step of other requests ends, and leaves the engine', async () => {
    const { engine, url } = await serverWith({ steps: [], finish: null });
    const answer = fetch(`${url}/health_generate`);
    await eventually(() => engine.submitted.length === 1, 'the probe');
    const timings = { schedule: 1, segments: 1, attention: 1, sample: 1, total: 4 };
    for (const listen of engine.stepListeners) listen({ numTokens: 1, timings, residency: null });
    expect((await answer).status).toBe(200);
    await eventually(() => engine.alive.length === 0, 'the end of the probe');
  });

  it('gives up when no step ends in time', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [], finish: null }));
    await expect(probe(engine, 0 as TokenId, 20)).rejects.toMatchObject({
      kind: 'overloaded',
      message: 'no step of the engine has ended in 20 ms',
    });
    expect(engine.alive).toEqual([]);
  });

  it('is 503 when the engine has failed, and while the server drains', async () => {
    const { engine, url, inFlight } = await serverWith();
    engine.state = 'failed';
    expect((await fetch(`${url}/health_generate`)).status).toBe(503);
    engine.state = 'ready';
    inFlight.drain();
    expect((await fetch(`${url}/health_generate`)).status).toBe(503);
  });
});
