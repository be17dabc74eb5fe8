import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../../engine/client/engine-port.js';
import { createWorkerEngine } from '../../../engine/client/worker-engine.js';
import { loadServedModel, type ServedModel } from '../../../engine/text/served-model.js';
import {
  encoderDir,
  readEncoderGolden,
  readRerankerGolden,
  worstDifference,
} from '../../support/encoder-fixtures.js';
import { encoderOptions } from '../../support/encoder-options.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

const { pairs, scores, logits } = readRerankerGolden('ms-marco');
const [QUERY = ''] = pairs.map(([query]) => query);
const models = new Map<string, { engine: Engine; model: ServedModel }>();

beforeAll(async () => {
  for (const name of ['ms-marco', 'minilm']) {
    const dir = encoderDir(name);
    const engine = await createWorkerEngine(encoderOptions(dir));
    models.set(name, { engine, model: await loadServedModel(dir, [name]) });
  }
});

afterAll(() => Promise.all([...models.values()].map(({ engine }) => engine.close())));
afterEach(stopTestServers);

interface Answer {
  readonly results: { index: number; relevance_score: number; document?: { text: string } }[];
  readonly data: { index: number; score: number }[];
  readonly usage: { prompt_tokens: number };
  readonly error: { code: string | null; param: string | null; message: string };
}

async function ask(name: string, path: string, body: object): Promise<Answer & { status: number }> {
  const { engine, model } = models.get(name) ?? {};
  if (!engine || !model) throw new Error(`no model ${name}`);
  const server = await startTestServer(engine, { model });
  const response = await server.post(path, { model: name, ...body });
  return { ...((await response.json()) as Answer), status: response.status };
}

describe('a cross-encoder', () => {
  it.each(['/v1/rerank', '/rerank', '/v2/rerank'])('orders documents (%s)', async (path) => {
    const documents = pairs.slice(0, 2).map(([, document]) => document);
    const { results, usage } = await ask('ms-marco', path, { query: QUERY, documents });
    const order = [0, 1].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
    expect(results.map(({ index }) => index)).toEqual(order);
    for (const { index, relevance_score: score, document } of results) {
      expect(score).toBeCloseTo(scores[index] ?? Number.NaN, 5);
      expect(document?.text).toBe(documents[index]);
    }
    expect(usage.prompt_tokens).toBeGreaterThan(20);
  });

  it('answers the best alone, without documents', async () => {
    const documents = [{ text: pairs[0]?.[1] ?? '' }, { text: pairs[1]?.[1] ?? '' }];
    const body = { query: QUERY, documents, top_n: 1, return_documents: false };
    const { results } = await ask('ms-marco', '/rerank', body);
    expect(results).toHaveLength(1);
    expect(results[0]).not.toHaveProperty('document');
  });

  it('scores pairs as CrossEncoder does, with a long text cut', async () => {
    const body = {
      text_1: pairs.map(([first]) => first),
      text_2: pairs.map(([, second]) => second),
      truncate_prompt_tokens: -1,
    };
    const { data } = await ask('ms-marco', '/v1/score', body);
    expect(
      worstDifference(
        data.map(({ score }) => score),
        scores,
      ),
    ).toBeLessThan(1e-5);
    const plain = await ask('ms-marco', '/score', { ...body, use_activation: false });
    expect(
      worstDifference(
        plain.data.map(({ score }) => score),
        logits,
      ),
    ).toBeLessThan(1e-5);
  });

  it('reads of a document so many tokens', async () => {
    const documents = ['the moon is far from the earth', 'the moon'];
    const body = { query: QUERY, documents, max_tokens_per_doc: 2 };
    const { results } = await ask('ms-marco', '/rerank', body);
    const [first, second] = results;
    expect(first?.relevance_score).toBeCloseTo(second?.relevance_score ?? Number.NaN, 6);
  });

  it.each([
    ['a pair that is too long', { text_1: 'a', text_2: pairs[2]?.[1] }, 'context_length_exceeded'],
    ['lists that do not pair', { text_1: ['a', 'b'], text_2: ['c'] }, null],
    ['an empty list', { text_1: [], text_2: 'a' }, null],
  ])('refuses %s', async (_, body, code) => {
    const { status, error } = await ask('ms-marco', '/score', body);
    expect({ status, error }).toMatchObject({ status: 400, error: { code } });
  });
});

describe('a model of embeddings', () => {
  it('scores by the cosine of both vectors', async () => {
    const { texts, embeddings } = readEncoderGolden('minilm');
    const [a = new Float32Array(), b = new Float32Array()] = embeddings.get('') ?? [];
    const cosine = a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
    const { data } = await ask('minilm', '/score', { text_1: texts[0], text_2: texts[1] });
    expect(data[0]?.score).toBeCloseTo(cosine, 5);
  });
});
