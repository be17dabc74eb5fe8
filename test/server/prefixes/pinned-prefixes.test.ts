import { Compile } from 'typebox/compile';
import { afterEach, describe, expect, test } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import type { EngineRequest } from '../../../engine/protocol/request.js';
import { OPERATIONS } from '../../../server/openapi/operations.js';
import { byteModel, bytesOf } from '../../support/byte-model.js';
import { type Script, ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const PATH = '/v1/cache/prefixes';

/** Pins what it is asked to; a token a byte. */
const pinning = (more: Partial<Script> = {}, asked: (request: EngineRequest) => void = () => {}) =>
  new ScriptedEngine((request) => {
    asked(request);
    const pinnedTokens = request.promptTokenIds.length;
    return { steps: [[]], finish: 'length', pinnedTokens, cachedTokens: 3, ...more };
  });

const promptOf = (engine: ScriptedEngine): string =>
  Buffer.from(engine.submitted.at(-1)?.request.promptTokenIds ?? []).toString();

const asJson = async (answer: Response): Promise<Record<string, unknown>> =>
  (await answer.json()) as Record<string, unknown>;

const refusal = async (answer: Response): Promise<[number, string]> => {
  const { error } = (await answer.json()) as { error: { message: string } };
  return [answer.status, error.message];
};

describe('pinned prefixes', () => {
  test('are computed as the last request, in whole blocks, listed, and unpinned', async () => {
    const engine = pinning();
    const { post, url } = await startTestServer(engine);
    const list = async () => (await asJson(await fetch(url + PATH)))['data'];
    expect(await list()).toEqual([]);
    const answer = await post(PATH, { name: 'a.b-1', prompt: 'x'.repeat(40), cache_salt: 's' });
    expect(answer.status).toBe(200);
    const pinned = await asJson(answer);
    expect(pinned).toMatchObject({
      object: 'cache.prefix',
      name: 'a.b-1',
      model: 'byte-model',
      tokens: 40,
      pinned_tokens: 32,
      cached_tokens: 3,
    });
    expect(Compile(OPERATIONS[`POST ${PATH}`].answer ?? {}).Errors(pinned)).toEqual([]);
    expect(engine.submitted[0].request).toMatchObject({
      pin: 'a.b-1',
      maxTokens: 0,
      priority: 2 ** 31 - 1,
      cacheSalt: 's',
    });
    expect(engine.submitted[0].request.promptTokenIds).toHaveLength(32);
    expect(await list()).toEqual([pinned]);
    const removed = await fetch(`${url}${PATH}/a.b-1`, { method: 'DELETE' });
    expect(await asJson(removed)).toEqual({ object: 'cache.prefix', name: 'a.b-1', deleted: true });
    expect(engine.unpinned).toEqual(['a.b-1']);
    expect(await list()).toEqual([]);
    const again = await fetch(`${url}${PATH}/a.b-1`, { method: 'DELETE' });
    expect(await refusal(again)).toEqual([404, "no prefix is pinned as 'a.b-1'"]);
  });

  test('of messages are what all conversations begin with', async () => {
    const engine = pinning();
    const { post } = await startTestServer(engine, {
      settings: {},
    });
    const system = { role: 'system', content: 'Be kind. '.repeat(4) };
    const ask = (messages: object[]) => post(PATH, { name: 'a', messages });
    expect(await asJson(await ask([system]))).toMatchObject({ tokens: 8 + 36 + 6 });
    expect(promptOf(engine)).toBe(`<system>${system.content}<user>`.slice(0, 48));
    // One that is to be answered is a prompt of its own.
    const user = { role: 'user', content: 'Why?' };
    expect(await asJson(await ask([system, user]))).toMatchObject({ tokens: 50 + 4 + 11 });
    expect(promptOf(engine)).toBe(`<system>${system.content}<user>Why?<assistant>`.slice(0, 64));
  });

  test('may be token ids', async () => {
    const engine = pinning();
    const { post } = await startTestServer(engine);
    expect((await post(PATH, { name: 'a', prompt: bytesOf('y'.repeat(17)) })).status).toBe(200);
    expect(promptOf(engine)).toBe('y'.repeat(16));
  });

  test('take the place of another one of their name, also in another model', async () => {
    const [first, second] = [pinning(), pinning()];
    const other = { ...byteModel, names: ['other'] as const };
    const { post, url } = await startTestServer(first, {
      more: [{ engine: second, model: other }],
    });
    const prompt = 'x'.repeat(20);
    await post(PATH, { name: 'a', prompt });
    await post(PATH, { name: 'a', prompt: 'y'.repeat(20) });
    // The engine itself lets the first one go.
    expect(first.unpinned).toEqual([]);
    await post(PATH, { name: 'a', prompt, model: 'other' });
    expect([first.unpinned, second.unpinned]).toEqual([['a'], []]);
    const { data } = await asJson(await fetch(url + PATH));
    expect(data).toMatchObject([{ name: 'a', model: 'other' }]);
  });

  test('are forgotten with the cache of their model', async () => {
    const { post, url } = await startTestServer(pinning());
    await post(PATH, { name: 'a', prompt: 'x'.repeat(20) });
    expect((await post('/reset_prefix_cache', {})).status).toBe(200);
    expect((await asJson(await fetch(url + PATH)))['data']).toEqual([]);
  });

  test('are forgotten when the pages are empty and a tier is not', async () => {
    const engine = pinning();
    const { post, url } = await startTestServer(engine);
    await post(PATH, { name: 'a', prompt: 'x'.repeat(20) });
    engine.resetPrefixCache = () =>
      Promise.reject(new OctavoError('kv_tier_not_cleared', 'not disk'));
    expect((await post('/reset_prefix_cache?reset_external=1', {})).status).toBe(503);
    expect((await asJson(await fetch(url + PATH)))['data']).toEqual([]);
  });

  test('are computed again when the engine is replaced; one that cannot be is given up', async () => {
    let restart = (): void => undefined;
    let fits = true;
    const engine = new ScriptedEngine(({ promptTokenIds: { length } }) => ({
      steps: [[]],
      finish: 'length',
      pinnedTokens: fits || length < 20 ? length : 0,
    }));
    Object.assign(engine, { onRestart: (listener: () => void) => (restart = listener) });
    const { post, url, log } = await startTestServer(engine);
    await post(PATH, { name: 'short', prompt: 'x'.repeat(16) });
    await post(PATH, { name: 'long', prompt: 'x'.repeat(32) });
    fits = false;
    restart();
    await eventually(() => engine.submitted.length === 4, 'both are computed again');
    expect(engine.submitted.map(({ request }) => request.pin)).toEqual([
      'short',
      'long',
      'short',
      'long',
    ]);
    const names = async () =>
      ((await asJson(await fetch(url + PATH)))['data'] as { name: string }[]).map((p) => p.name);
    await expect.poll(names).toEqual(['short']);
    expect(log.map(({ msg }) => msg)).toContain('octavo: the prefix long is not pinned any more');
  });

  test('end with the client that waits for them', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [[]], finish: null }));
    const { url } = await startTestServer(engine);
    const client = new AbortController();
    const asked = fetch(url + PATH, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'a', prompt: 'x'.repeat(20) }),
      signal: client.signal,
    });
    await eventually(() => engine.submitted.length === 1, 'it is computed');
    client.abort();
    await expect(asked).rejects.toThrow('aborted');
    await eventually(() => engine.alive.length === 0, 'it is aborted');
    expect((await asJson(await fetch(url + PATH)))['data']).toEqual([]);
  });

  test.each<[string, object, number, RegExp]>([
    [
      'a prefix without a block',
      { name: 'a', prompt: 'short' },
      400,
      /has 5 tokens: only whole blocks of 16/,
    ],
    ['a name that is no name', { name: 'a/b', prompt: 'x' }, 400, /^name must match/],
    ['no name', { prompt: 'x' }, 400, /missing required field name/],
    ['nothing', { name: 'a' }, 400, /missing required field prompt or messages/],
    [
      'both',
      { name: 'a', prompt: 'x', messages: [{ role: 'user', content: 'x' }] },
      400,
      /either prompt or messages/,
    ],
    [
      'a model that is not served',
      { name: 'a', prompt: 'x', model: 'm' },
      404,
      /model 'm' does not exist/,
    ],
    [
      'an id outside the vocabulary',
      { name: 'a', prompt: [9999] },
      400,
      /9999 is not in the vocabulary/,
    ],
    [
      'what is not supported',
      { name: 'a', prompt: 'x', suffix: 'y' },
      400,
      /suffix is not supported/,
    ],
  ])('%s is refused', async (_, body, status, message) => {
    const engine = pinning();
    const { post } = await startTestServer(engine);
    const [code, text] = await refusal(await post(PATH, body));
    expect([code, text]).toEqual([status, expect.stringMatching(message)]);
    expect(engine.submitted).toEqual([]);
  });

  test('that do not fit any more, or that the engine refuses, are not listed', async () => {
    const { post, url } = await startTestServer(pinning({ pinnedTokens: 0 }));
    const answer = await post(PATH, { name: 'a', prompt: 'x'.repeat(20) });
    expect(await refusal(answer)).toEqual([409, expect.stringContaining('does not fit any more')]);
    expect((await asJson(await fetch(url + PATH)))['data']).toEqual([]);
  });

  test('need a cache', async () => {
    const { post } = await startTestServer(pinning(), { settings: { enablePrefixCaching: false } });
    const answer = await post(PATH, { name: 'a', prompt: 'x'.repeat(20) });
    expect(await refusal(answer)).toEqual([400, expect.stringContaining('caches no prefixes')]);
  });

  test('need a key when there are keys', async () => {
    const { post, url } = await startTestServer(pinning(), { apiKeys: ['k'] });
    expect((await post(PATH, { name: 'a', prompt: 'x' })).status).toBe(401);
    expect((await fetch(url + PATH)).status).toBe(401);
    expect((await fetch(`${url}${PATH}/a`, { method: 'DELETE' })).status).toBe(401);
  });
});
