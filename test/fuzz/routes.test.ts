import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf } from '../support/byte-model.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers, type TestServer } from '../support/test-server.js';
import { type Asked, ask, type PostRoute, post, postRoutes, queryRoutes } from './answers.js';
import { GRAMMAR_FIELDS } from './grammar-values.js';
import { bodyText, LARGE, mutated, mutations } from './hostile.js';
import { type KnownFields, valuesOf } from './schema-values.js';

afterEach(stopTestServers);

/** For longer runs than a test has time for, and for others. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? '250');
const SEED = Number(process.env['FUZZ_SEED'] ?? '1');

const KNOWN: KnownFields = {
  ...GRAMMAR_FIELDS,
  model: fc.constantFrom('byte-model', 'alias'),
  previous_response_id: fc.constant(null),
  messages: fc.constantFrom(
    [{ role: 'user', content: 'Hi' }],
    [
      { role: 'system', content: [{ type: 'text', text: 'a' }] },
      { role: 'assistant', tool_calls: [{ id: 'c', function: { name: 'f', arguments: '{}' } }] },
      { role: 'assistant', content: null, reasoning_content: 'b', tool_calls: [] },
    ],
  ),
};

function start(): Promise<TestServer & { engine: ScriptedEngine }> {
  const engine = new ScriptedEngine(({ pooling, labels, promptTokenIds }) => {
    if (pooling !== null) {
      return { steps: [[]], finish: 'stop', embedding: new Float32Array(8).fill(1) };
    }
    if (labels) return { steps: [[]], finish: 'length', labelLogprobs: labels.map(() => -3) };
    return {
      steps: [bytesOf('a{"'), bytesOf('é')],
      finish: 'length',
      pinnedTokens: promptTokenIds.length,
    };
  });
  // What is kept on purpose does not count as memory that stays.
  return startTestServer(engine, { settings: { maxStoredResponses: 1 } }).then((server) => ({
    ...server,
    engine,
  }));
}

/** What only a server with --allow-pull does. */
const NOT_ALLOWED: ReadonlySet<string> = new Set(['/api/pull']);
/** What only a server with --batch-dir does: nothing of a request is read before that is said. */
const isNotEnabled = (path: string): boolean => /^\/v1\/(files|batches)\b/.test(path);
/** They need tokens for yes and no, or for gaps, and the model has only bytes. */
const WITHOUT_WORDS: ReadonlySet<string> = new Set([
  '/infill',
  '/v1/rerank',
  '/v2/rerank',
  '/rerank',
  '/v1/score',
  '/score',
]);

describe('no request makes the server fail, hang or grow', () => {
  test('every route that takes a body is found, and some spoilt bodies are still good', async () => {
    const server = await start();
    const routes = await postRoutes(server.url);
    expect(routes.length).toBeGreaterThan(8);
    for (const route of routes) {
      const statuses = await fuzz(server, route, RUNS);
      const seen = [...statuses.keys()];
      const good = NOT_ALLOWED.has(route.path) ? 403 : 200;
      const words = WITHOUT_WORDS.has(route.path) ? [400] : [good, 400];
      const expected = isNotEnabled(route.path) ? [403] : words;
      if (route.schema !== null)
        expect([route.path, seen]).toEqual([route.path, expect.arrayContaining(expected)]);
      expect([route.path, server.engine.alive]).toEqual([route.path, []]);
    }
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted');
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test('routes without a body, their parameters and queries', async () => {
    const server = await start();
    const made = await server.client.responses.create({ model: 'byte-model', input: 'Hi' });
    await server.post('/v1/cache/prefixes', { name: 'byte-model', prompt: 'a'.repeat(40) });
    const routes = await queryRoutes(server.url);
    expect(routes.map(({ method, path }) => `${method} ${path}`)).toEqual(
      expect.arrayContaining([
        'GET /v1/models/{id}',
        'GET /v1/responses/{id}',
        'GET /v1/responses/{id}/input_items',
        'DELETE /v1/responses/{id}',
        'GET /metrics',
      ]),
    );
    // The last one deletes what the others are asked for.
    const ordered = routes.toSorted(
      (a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'),
    );
    for (const route of ordered) {
      const seen = new Set<number>();
      const targets = fc
        .tuple(
          fc.constantFrom(made.id, 'byte-model', ...HOSTILE_SEGMENTS),
          fc.array(queryPairs(route), { maxLength: 3 }),
        )
        .map(
          ([id, pairs]) =>
            route.path.replaceAll(/\{\w+\}/g, id) +
            (pairs.length === 0 ? '' : `?${pairs.join('&')}`),
        );
      const property = fc.asyncProperty(fc.noBias(targets), async (target) => {
        seen.add(await ask(server.url, { ...route, path: target }));
        const failures = server.log.filter(({ level }) => Number(level) >= 50);
        server.log.length = 0;
        expect(failures).toEqual([]);
      });
      await fc.assert(property, { numRuns: Math.ceil(RUNS / 3), seed: SEED });
      const good = isNotEnabled(route.path) ? 403 : 200;
      expect([route.path, [...seen]]).toEqual([route.path, expect.arrayContaining([good])]);
    }
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test('memory does not stay', async () => {
    const server = await start();
    const routes = await postRoutes(server.url);
    const round = async (): Promise<number> => {
      for (const { path, schema } of routes) {
        const [field = 'x'] = schema?.required ?? [];
        for (const text of LARGE) {
          await post(urlOf(server, path), `{${JSON.stringify(field)}:${text}}`);
        }
        server.log.length = 0;
        server.engine.submitted.length = 0;
      }
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    await round();
    const before = await round();
    // The bodies of a round have 8 MB as texts, and several times that once they are parsed.
    expect((await round()) - before).toBeLessThan(4 * 2 ** 20);
  });
});

/** In the place of an id. */
const HOSTILE_SEGMENTS = [
  '%00',
  '%',
  '%zz',
  '%ff%fe',
  '..',
  '%2e%2e%2f',
  '__proto__',
  'constructor',
  '%F0%9F%98%80',
  'x'.repeat(101),
  'x'.repeat(5000),
  ' ',
  '*',
  ':id',
  '',
];

/** One `name=value`: of the route's own, or any. */
const queryPairs = ({ query }: Asked): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.constantFrom(...query, ...query, '__proto__', 'a[b]', '', '%00', 'x'.repeat(3000)),
      fc.constantFrom(
        '',
        '1',
        '100',
        '0',
        '-1',
        '1e9',
        'NaN',
        'asc',
        'desc',
        'true',
        'false',
        '%00',
        '%zz',
        '[]',
        '{}',
        'x'.repeat(3000),
        '%F0%9F%98%80',
      ),
    )
    .map(([name, value]) => `${name}=${value}`);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/**
 * Sends bodies to a route: valid ones, each spoilt in up to two places.
 *
 * @returns how often each status came
 */
async function fuzz(
  server: TestServer & { engine: ScriptedEngine },
  { path, schema }: PostRoute,
  runs: number,
): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const url = urlOf(server, path);
  const fields = Object.keys(schema?.properties ?? { x: {} });
  const bodies = fc
    .tuple(
      schema === null ? fc.jsonValue() : valuesOf(schema, KNOWN),
      fc.array(mutations(fields, 40), { maxLength: 2, size: 'max' }),
    )
    .map(([value, changes]) => new Body(bodyText(changes.reduce(mutated, value))));
  // Without the bias to small values most bodies would not be spoilt at all.
  const property = fc.asyncProperty(fc.noBias(bodies), async ({ text }) => {
    const status = await post(url, text);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const failures = server.log.filter(({ level }) => Number(level) >= 50);
    server.log.length = 0;
    server.engine.submitted.length = 0;
    expect(failures).toEqual([]);
  });
  await fc.assert(property, { numRuns: runs, seed: SEED });
  return statuses;
}

const urlOf = ({ url }: TestServer, path: string): string => url + path.replaceAll(/\{\w+\}/g, 'x');

class Body {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** For the report of a failure. */
  toString(): string {
    return this.text.length < 2000
      ? this.text
      : `${this.text.slice(0, 1000)}... (${this.text.length} characters)`;
  }
}
