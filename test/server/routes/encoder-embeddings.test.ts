import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../../engine/client/engine-port.js';
import { createWorkerEngine } from '../../../engine/client/worker-engine.js';
import { truncateAndNormalize } from '../../../engine/generation/normalize.js';
import { loadServedModel, type ServedModel } from '../../../engine/text/served-model.js';
import { encoderDir, readEncoderGolden, worstDifference } from '../../support/encoder-fixtures.js';
import { encoderOptions } from '../../support/encoder-options.js';
import { startTestServer, stopTestServers, type TestServer } from '../../support/test-server.js';

const GOLDEN = readEncoderGolden('embeddinggemma');
let engine: Engine;
let model: ServedModel;

beforeAll(async () => {
  const dir = encoderDir('embeddinggemma');
  engine = await createWorkerEngine(encoderOptions(dir));
  model = await loadServedModel(dir, ['gemma']);
});

afterAll(() => engine.close());
afterEach(stopTestServers);

const start = (): Promise<TestServer> => startTestServer(engine, { model });

/** Vectors as the API gives them. */
async function embed(server: TestServer, body: object): Promise<number[][]> {
  const response = await server.post('/v1/embeddings', { model: 'gemma', ...body });
  const answer = (await response.json()) as { data?: { embedding: number[] }[] };
  return answer.data?.map(({ embedding }) => embedding) ?? [];
}

async function refusal(server: TestServer, path: string, body: object) {
  const response = await server.post(path, { model: 'gemma', ...body });
  const { error } = (await response.json()) as {
    error: { message: string; code: string | null; param: string | null } | string;
  };
  return { status: response.status, error };
}

function expectEqual(actual: readonly number[][], name: string): void {
  const expected = GOLDEN.embeddings.get(name) ?? [];
  expect(actual.length).toBe(expected.length);
  actual.forEach((vector, i) => expect(worstDifference(vector, expected[i])).toBeLessThan(1e-5));
}

describe('an encoder', () => {
  it('gives the vectors of sentence-transformers, with texts cut and prompts', async () => {
    const server = await start();
    const body = { input: GOLDEN.texts, truncate_prompt_tokens: -1 };
    expectEqual(await embed(server, body), '');
    expectEqual(await embed(server, { ...body, input_type: 'search_query' }), 'query');
    expectEqual(await embed(server, { ...body, input_type: 'passage' }), 'document');
    expectEqual(await embed(server, { ...body, prompt_name: 'document' }), 'document');
  });

  it('cuts vectors, and writes them as base64', async () => {
    const server = await start();
    const [expected = new Float32Array()] = GOLDEN.embeddings.get('') ?? [];
    const [cut = []] = await embed(server, { input: GOLDEN.texts[0], dimensions: 3 });
    expect(worstDifference(cut, truncateAndNormalize(expected, 3))).toBeLessThan(1e-5);
    // The client asks for base64, and decodes it.
    const { data } = await server.client.embeddings.create({
      model: 'gemma',
      input: GOLDEN.texts[0] ?? '',
    });
    expect(worstDifference(data[0]?.embedding ?? [], expected)).toBeLessThan(1e-5);
  });

  it('takes token ids, which have no prompt', async () => {
    const server = await start();
    const ids = model.tokenizer.encode(GOLDEN.texts[0] ?? '', { addSpecialTokens: true });
    const [vector = []] = await embed(server, { input: ids });
    expect(worstDifference(vector, GOLDEN.embeddings.get('')?.[0] ?? [])).toBeLessThan(1e-5);
    const { status, error } = await refusal(server, '/v1/embeddings', {
      input: ids,
      prompt_name: 'query',
    });
    expect({ status, error }).toMatchObject({ status: 400, error: { param: 'input' } });
  });

  it('answers Ollama, which cuts texts', async () => {
    const server = await start();
    const body = { model: 'gemma', input: GOLDEN.texts };
    const response = await server.post('/api/embed', body);
    const { embeddings } = (await response.json()) as { embeddings: number[][] };
    expectEqual(embeddings, '');
  });

  it.each([
    ['a text that is too long', { input: GOLDEN.texts[4] }, 'context_length_exceeded'],
    ['an empty text', { input: ['a', ''] }, null],
    ['an unknown prompt', { input: 'a', prompt_name: 'sum' }, null],
    ['two prompts', { input: 'a', prompt_name: 'query', input_type: 'query' }, null],
    ['a cut beyond the context', { input: 'a', truncate_prompt_tokens: 49 }, null],
    ['more dimensions than there are', { input: 'a', dimensions: 7 }, null],
    ['an id outside the vocabulary', { input: [5000] }, null],
  ])('refuses %s', async (_, body, code) => {
    const server = await start();
    const { status, error } = await refusal(server, '/v1/embeddings', body);
    expect({ status, error }).toMatchObject({ status: 400, error: { code } });
  });

  it.each([
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] }],
    ['/v1/completions', { prompt: 'Hi' }],
    ['/v1/responses', { input: 'Hi' }],
    ['/v1/messages', { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 5 }],
    ['/api/chat', { messages: [{ role: 'user', content: 'Hi' }] }],
    ['/api/generate', { prompt: 'Hi' }],
  ])('generates nothing for %s', async (path, body) => {
    const server = await start();
    const { status, error } = await refusal(server, path, body);
    expect(status).toBe(400);
    expect(JSON.stringify(error)).toContain("the model 'gemma' is an encoder");
  });

  it('shows its length, its figures and its health', async () => {
    const server = await start();
    await embed(server, { input: 'a' });
    const get = async (path: string): Promise<string> =>
      (await fetch(`${server.url}${path}`)).text();
    expect(await get('/v1/models')).toContain('"max_model_len":48');
    expect(await get('/health_generate')).toBe('{"status":"ok"}');
    const metrics = await get('/metrics');
    expect(metrics).toMatch(/kv_cache_usage_perc\{[^}]*\} 0\n/);
    expect(metrics).toMatch(/prompt_tokens_total\{[^}]*\} 3\n/);
  });
});
