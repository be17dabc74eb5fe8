import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../engine/clock.js';
import { OctavoError } from '../../../engine/errors.js';
import { createOtlpTracer, tracesUrl } from '../../../server/tracing/otlp-tracer.js';
import { bytesOf } from '../../support/byte-model.js';
import { exitCode, runOctavo, startOctavo } from '../../support/octavo-process.js';
import { type CollectedSpan, startOtlpCollector } from '../../support/otlp-collector.js';
import { type Script, ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

const SECRET = 'a secret prompt';
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';

/** What a collector gets of one request to a scripted engine. */
async function traceOf(
  script: Script,
  path: string,
  body: object,
  headers: Record<string, string> = {},
) {
  const collector = await startOtlpCollector();
  const tracer = await createOtlpTracer({
    url: `${collector.url}/v1/traces`,
    logger: pino({ level: 'silent' }),
    clock: systemClock,
    wallClock: () => Date.now(),
  });
  const server = await startTestServer(new ScriptedEngine(() => script), { tracer });
  const before = Date.now();
  const response = await server.post(path, body, headers);
  await response.text();
  await (await server.post('/tokenize', { prompt: SECRET })).text();
  await tracer.close();
  expect(collector.bodies.join()).not.toContain(SECRET);
  const [root, ...others] = collector.spans.toSorted((a, b) => a.kind - b.kind).reverse();
  const parts = Object.fromEntries(others.map((span) => [span.name, span]));
  return { root, parts, collector, before, log: server.log };
}

const ms = (nanoseconds: string): number => Number(BigInt(nanoseconds) / 1000n) / 1000;
const begin = ({ startTimeUnixNano }: CollectedSpan): number => ms(startTimeUnixNano);
const end = ({ endTimeUnixNano }: CollectedSpan): number => ms(endTimeUnixNano);

/** Waits for at least so many milliseconds; a timer of the loop may be early by a slow turn. */
async function passed(milliseconds: number): Promise<void> {
  const over = performance.now() + milliseconds;
  while (performance.now() < over) await new Promise((resolve) => setImmediate(resolve));
}

const ANSWER: Script = {
  steps: [bytesOf('a'), bytesOf('b')],
  finish: 'length',
  cachedTokens: 4,
  times: { queued: 0.5, prefill: 1.5 },
  beforeStep: () => passed(5),
};

describe('a trace', () => {
  it.each([true, false])(
    'of a chat has the conventions’ words and its parts (stream: %s)',
    async (stream) => {
      const body = {
        messages: [{ role: 'user', content: SECRET }],
        stream,
        max_tokens: 2,
        temperature: 0.5,
        top_p: 0.9,
        seed: 3,
        stop: ['z'],
      };
      const { root, parts, collector, before, log } = await traceOf(
        ANSWER,
        '/v1/chat/completions',
        body,
        {
          'x-request-id': 'mine',
        },
      );
      expect(root).toMatchObject({ name: 'chat byte-model', kind: 2, status: { code: 0 } });
      expect(root.attributes).toEqual({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'octavo',
        'gen_ai.request.model': 'byte-model',
        'gen_ai.request.max_tokens': 2,
        'gen_ai.request.temperature': 0.5,
        'gen_ai.request.top_p': 0.9,
        'gen_ai.request.seed': 3,
        'gen_ai.response.model': 'byte-model',
        'gen_ai.response.id': expect.stringMatching(/^chatcmpl-/) as string,
        'gen_ai.response.finish_reasons': ['length'],
        'gen_ai.usage.input_tokens': 32,
        'gen_ai.usage.cache_read.input_tokens': 4,
        'gen_ai.usage.output_tokens': 2,
        'http.request.method': 'POST',
        'http.route': '/v1/chat/completions',
        'http.response.status_code': 200,
        'octavo.request.id': 'mine',
      });
      expect(collector.resource).toMatchObject({ 'service.name': 'octavo' });
      expect(Object.keys(parts).sort()).toEqual(['decode', 'prefill', 'queue']);
      const { queue, prefill, decode } = parts;
      for (const part of [queue, prefill, decode]) {
        expect(part).toMatchObject({ kind: 1, traceId: root.traceId, parentSpanId: root.spanId });
      }
      // One after the other, inside the request, and now.
      expect(end(prefill) - begin(prefill)).toBeCloseTo(1.5, 1);
      expect(end(queue) - begin(queue)).toBeCloseTo(0.5, 1);
      expect(begin(prefill)).toBeCloseTo(end(queue), 1);
      expect(begin(decode)).toBeCloseTo(end(prefill), 1);
      expect(end(decode) - begin(decode)).toBeGreaterThan(4.9);
      expect(begin(queue)).toBeGreaterThanOrEqual(begin(root) - 0.01);
      expect(end(root)).toBeGreaterThanOrEqual(end(decode) - 0.01);
      expect(Math.abs(begin(root) - before)).toBeLessThan(60_000);
      const line = log.find(({ route }) => route === '/v1/chat/completions');
      expect(line).toMatchObject({ traceId: root.traceId });
    },
  );

  it('goes on with the one of the caller', async () => {
    const { root } = await traceOf(
      ANSWER,
      '/v1/completions',
      { prompt: 'x' },
      {
        traceparent: `00-${TRACE}-${CALLER}-01`,
      },
    );
    expect(root).toMatchObject({
      name: 'text_completion byte-model',
      traceId: TRACE,
      parentSpanId: CALLER,
    });
  });

  it('is not sampled when the caller’s is not', async () => {
    const { collector } = await traceOf(
      ANSWER,
      '/v1/completions',
      { prompt: 'x' },
      {
        traceparent: `00-${TRACE}-${CALLER}-00`,
      },
    );
    expect(collector.spans).toEqual([]);
  });

  it('says what went wrong: the server’s fault is an error, the client’s is not', async () => {
    const error = new OctavoError('engine_failed', 'it broke');
    const failed = await traceOf({ ...ANSWER, finish: null, error }, '/v1/completions', {
      prompt: 'x',
      stream: true,
    });
    expect(failed.root.status.code).toBe(2);
    expect(failed.root.attributes).toMatchObject({ 'error.type': 'engine_failed' });
    expect(failed.root.attributes).not.toHaveProperty('gen_ai.response.finish_reasons');
    const bad = await traceOf(ANSWER, '/v1/completions', { prompt: SECRET, temperature: -1 });
    expect(bad.root).toMatchObject({ name: 'text_completion', status: { code: 0 } });
    expect(bad.root.attributes).toMatchObject({
      'error.type': 'invalid_request',
      'http.response.status_code': 400,
    });
    expect(bad.parts).toEqual({});
  });

  it('of embeddings ends with the prefill', async () => {
    const script = {
      ...ANSWER,
      steps: [[]],
      finish: 'stop',
      embedding: new Float32Array(8),
    } as const;
    const { root, parts } = await traceOf(script, '/v1/embeddings', { input: SECRET });
    expect(root.name).toBe('embeddings byte-model');
    expect(Object.keys(parts).sort()).toEqual(['prefill', 'queue']);
  });
});

describe('traces are asked for', () => {
  it('by the flag, or by OpenTelemetry’s variables; otherwise there are none', () => {
    expect(tracesUrl(undefined, {})).toBeUndefined();
    expect(tracesUrl('http://c:4318', {})).toBe('http://c:4318/v1/traces');
    expect(tracesUrl('http://c:4318/own?x=1', {})).toBe('http://c:4318/own?x=1');
    expect(tracesUrl(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' })).toBeNull();
    expect(tracesUrl(undefined, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c' })).toBeNull();
    expect(
      tracesUrl(undefined, {
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c',
        OTEL_TRACES_EXPORTER: 'none',
      }),
    ).toBeUndefined();
    expect(tracesUrl('http://c', { OTEL_SDK_DISABLED: 'true' })).toBeUndefined();
  });

  it('of a real server, which sends the last ones when it ends', async () => {
    const collector = await startOtlpCollector();
    const { child, url } = await startOctavo([], {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: 'mine',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    });
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: SECRET, max_tokens: 20, ignore_eos: true }),
    });
    expect(response.status).toBe(200);
    await response.text();
    child.kill('SIGTERM');
    expect(await exitCode(child)).toBe(0);
    expect(collector.spans.map(({ name }) => name).sort()).toEqual([
      'decode',
      'prefill',
      'queue',
      'text_completion octavo-tiny',
    ]);
    expect(collector.bodies.join()).not.toContain(SECRET);
    expect(collector.resource).toMatchObject({
      'service.name': 'mine',
      'deployment.environment.name': 'test',
    });
  });

  it('where the packages are missing: one line with the command that installs them', async () => {
    const preload = new URL('../../support/without-opentelemetry.mjs', import.meta.url).href;
    const args = ['serve', '--port', '0', '--otlp-traces-endpoint', 'http://127.0.0.1:1'];
    const result = await runOctavo(args, { NODE_OPTIONS: `--import ${preload}` });
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /^octavo: --otlp-traces-endpoint: .* npm install @opentelemetry\/.*\n$/,
    );
  });
});
