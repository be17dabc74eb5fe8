import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type OctavoEngine } from '../../../engine/index.js';
import { createFetchHandler, type FetchHandler } from '../../../server/index.js';

let engine: OctavoEngine;
let handle: FetchHandler;

beforeAll(async () => {
  engine = await createEngine({ kvCacheMemory: 64 * 2 ** 20, threads: 1 });
  handle = createFetchHandler({ engine, prefix: '/api' });
});

afterAll(async () => {
  await handle.close();
  await engine.close();
});

function chat(more: object = {}, init: RequestInit = {}): Request {
  const messages = [{ role: 'user', content: 'Hello' }];
  return new Request('http://somewhere.test/api/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages, max_tokens: 12, temperature: 0, ...more }),
    ...init,
  });
}

/** Requests that have ended because their clients left. */
async function aborted(): Promise<number> {
  const response = await handle(new Request('http://somewhere.test/api/metrics'));
  const count = /request_success_total\{finished_reason="abort".*\} (\d+)/;
  return Number(count.exec(await response.text())?.[1]);
}

interface Chat {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
}

describe('the fetch handler', () => {
  it('answers requests of the web, whole and streaming', async () => {
    const whole = await handle(chat());
    expect(whole.status).toBe(200);
    const { content } = ((await whole.json()) as Chat).choices[0].message;
    const streamed = await handle(chat({ stream: true }));
    expect(streamed.headers.get('content-type')).toContain('text/event-stream');
    const events = (await streamed.text()).split('\n\n').filter((line) => line.startsWith('data:'));
    expect(events.at(-1)).toBe('data: [DONE]');
    const text = events
      .slice(0, -1)
      .map((event) => JSON.parse(event.slice(5)) as { choices: { delta: { content?: string } }[] })
      .map(({ choices }) => choices[0]?.delta.content ?? '')
      .join('');
    expect(text).toBe(content);
  });

  it('streams: the first event comes while the last is not computed', async () => {
    const response = await handle(chat({ stream: true, max_tokens: 1900, ignore_eos: true }));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    // The reader has left: so has the request.
    await expect.poll(aborted).toBe(1);
    await expect.poll(() => engine.stats.running).toBe(0);
  });

  it('ends the work of an aborted request', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const request = handle(chat({ max_tokens: 1900, ignore_eos: true }, { signal }));
    await expect.poll(() => engine.stats.running, { interval: 1 }).toBe(1);
    controller.abort(new Error('enough'));
    await expect(request).rejects.toThrow('enough');
    await expect.poll(aborted).toBe(2);
    await expect.poll(() => engine.stats.running).toBe(0);
    await expect(handle(chat({}, { signal }))).rejects.toThrow('enough');
  });

  it('answers errors, pages and requests without a body', async () => {
    const get = (path: string, init: RequestInit = {}): Promise<Response> =>
      handle(new Request(`http://somewhere.test/api${path}`, init));
    expect((await get('/health')).status).toBe(200);
    expect(await (await get('/')).text()).toContain('href="/api/pages/');
    const head = await get('/v1/models', { method: 'HEAD' });
    expect([head.status, head.body]).toEqual([200, null]);
    expect((await get('/v1/none')).status).toBe(404);
    const large = chat({ user: 'x'.repeat(11 * 2 ** 20) });
    expect((await handle(large)).status).toBe(413);
    const bad = await handle(chat({ temperature: 3 }));
    expect(bad.status).toBe(400);
    expect(await bad.json()).toMatchObject({ error: { param: 'temperature' } });
  });

  it('makes its own engine when it is first asked, and ends it', async () => {
    const own = createFetchHandler({ kvCacheMemory: 64 * 2 ** 20, threads: 1 });
    const models = await own(new Request('http://somewhere.test/v1/models'));
    expect(await models.json()).toMatchObject({ data: [{ id: 'octavo-tiny' }] });
    await own.close();
    await expect(own(new Request('http://somewhere.test/health'))).rejects.toThrow('closed');
  });
});
