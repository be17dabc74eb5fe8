import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../server/clock.js';
import { buckets125 } from '../../server/metrics.js';
import { bytesOf, EOS } from '../support/byte-model.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../support/test-server.js';

afterEach(stopTestServers);

test('values after a known load', async () => {
  let now = 1000;
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('ab'), [...bytesOf('c'), EOS]],
    finish: 'stop',
    cachedTokens: 4,
    beforeStep: (step) => {
      // First token 300 ms after the arrival, the next two 120 ms later, together.
      now += step === 0 ? 300 : 120;
    },
  }));
  const server = await startTestServer(engine, { clock: { ...systemClock, now: () => now } });
  for (let i = 0; i < 3; i++) {
    const response = await server.post('/v1/completions', { prompt: 'hello' });
    expect(response.status).toBe(200);
    await response.text();
  }
  await server.post('/v1/completions', { prompt: '' });
  await eventually(() => server.log.filter(({ msg }) => msg === 'request').length === 4, 'ended');
  engine.stats = { running: 2, preemptions: 3, waiting: 5, usedBlocks: 16, steps: 9 };
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const value = (name: string, ...labels: string[]): number | undefined => {
    const line = text
      .split('\n')
      .find((l) => l.startsWith(`${name}{`) && labels.every((label) => l.includes(label)));
    expect(line).toBeDefined();
    if (!name.startsWith('http')) expect(line).toContain('model_name="byte-model"');
    return Number(line?.split(' ').at(-1));
  };
  expect(value('vllm:num_requests_running')).toBe(2);
  expect(value('vllm:num_requests_waiting')).toBe(5);
  expect(value('vllm:kv_cache_usage_perc')).toBe(0.25);
  expect(value('vllm:num_preemptions_total')).toBe(3);
  expect(value('vllm:prompt_tokens_total')).toBe(15);
  expect(value('vllm:prompt_tokens_cached_total')).toBe(12);
  expect(value('vllm:prefix_cache_hits_total')).toBe(12);
  expect(value('vllm:prefix_cache_queries_total')).toBe(15);
  expect(value('vllm:generation_tokens_total')).toBe(12);
  expect(value('vllm:request_success_total', 'finished_reason="stop"')).toBe(3);
  expect(value('vllm:time_to_first_token_seconds_bucket', 'le="0.25"')).toBe(0);
  expect(value('vllm:time_to_first_token_seconds_bucket', 'le="0.5"')).toBe(3);
  expect(value('vllm:inter_token_latency_seconds_count')).toBe(9);
  expect(value('vllm:inter_token_latency_seconds_bucket', 'le="0.01"')).toBe(3);
  expect(value('vllm:inter_token_latency_seconds_bucket', 'le="0.075"')).toBe(9);
  expect(value('vllm:e2e_request_latency_seconds_bucket', 'le="0.3"')).toBe(0);
  expect(value('vllm:e2e_request_latency_seconds_sum')).toBeCloseTo(1.26);
  expect(value('vllm:request_prompt_tokens_bucket', 'le="5"')).toBe(3);
  expect(value('vllm:request_generation_tokens_bucket', 'le="2"')).toBe(0);
  expect(value('http_requests_total', 'route="/v1/completions"', 'status="200"')).toBe(3);
  expect(value('http_requests_total', 'route="/v1/completions"', 'status="400"')).toBe(1);
  expect(text).toContain('process_cpu_seconds_total');
});

test('buckets of 1, 2, 5 end at the limit', () => {
  expect(buckets125(256)).toEqual([1, 2, 5, 10, 20, 50, 100, 200]);
});
