import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { afterEach, expect, test } from 'vitest';
import type { EngineAdapters } from '../../../engine/client/engine-port.js';
import { systemClock } from '../../../engine/clock.js';
import { InlinePrompts } from '../../../engine/generation/prompts/prompt-maker.js';
import { buckets125 } from '../../../server/metrics/buckets.js';
import { byteModel, bytesOf, EOS } from '../../support/byte-model.js';
import { MEMORY_TIER, ScriptedEngine } from '../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../support/test-server.js';

afterEach(stopTestServers);

/** The numbers of `/metrics`, by name and a part of the labels. */
async function scrape(url: string): Promise<(name: string, ...labels: string[]) => number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (name, ...labels) => {
    const line = text
      .split('\n')
      .find((l) => l.startsWith(`${name}{`) && labels.every((label) => l.includes(label)));
    if (line === undefined) throw new Error(`${name} {${labels.join()}} is not there`);
    expect(line).toContain('model_name="byte-model"');
    expect(line).toContain('engine="0"');
    return Number(line.split(' ').at(-1));
  };
}

/** Three requests of two completions each: tokens at 300 ms, and two more at 420 ms. */
async function knownLoad(options: { metricsPrefix?: string } = {}) {
  let now = 1000;
  const engine = new ScriptedEngine(({ ids }) => ({
    steps: [bytesOf('ab'), [...bytesOf('c'), EOS]],
    finish: 'stop',
    cachedTokens: 4,
    times: { queued: 50, prefill: 250 },
    beforeStep: (step) => {
      // Both completions wait for the same step: only the first one's turn moves the clock.
      if (ids.length === 1) now += step === 0 ? 300 : 120;
    },
  }));
  const server = await startTestServer(engine, {
    settings: options,
    clock: { ...systemClock, now: () => now },
  });
  for (let i = 0; i < 3; i++) {
    const response = await server.post('/v1/completions', { prompt: 'hello', max_tokens: 9 });
    expect(response.status).toBe(200);
    await response.text();
  }
  await server.post('/v1/completions', { prompt: 'hello', max_tokens: 9999 });
  await server.post('/v1/completions', { prompt: '' });
  await eventually(() => server.log.filter(({ msg }) => msg === 'request').length === 5, 'ended');
  return { engine, server };
}

test('requests and tokens after a known load', async () => {
  const { server } = await knownLoad();
  const value = await scrape(server.url);
  expect(value('vllm:prompt_tokens_total')).toBe(15);
  expect(value('vllm:prompt_tokens_cached_total')).toBe(12);
  expect(value('vllm:prefix_cache_hits_total')).toBe(12);
  expect(value('vllm:prefix_cache_queries_total')).toBe(15);
  expect(value('vllm:generation_tokens_total')).toBe(12);
  expect(value('vllm:request_success_total', 'finished_reason="stop"')).toBe(3);
  expect(value('vllm:admission_rejections_total', 'reason="context_length_exceeded"')).toBe(1);
  expect(value('vllm:request_prompt_tokens_bucket', 'le="5"')).toBe(3);
  expect(value('vllm:request_prompt_tokens_bucket', 'le="2"')).toBe(0);
  expect(value('vllm:request_generation_tokens_sum')).toBe(12);
  expect(value('vllm:request_max_num_generation_tokens_sum')).toBe(12);
  expect(value('vllm:request_params_max_tokens_sum')).toBe(27);
  expect(value('vllm:request_params_n_bucket', 'le="1"')).toBe(3);
  expect(value('vllm:request_prefill_kv_computed_tokens_sum')).toBe(3);
  expect(value('http_requests_total', 'route="/v1/completions"', 'status="200"')).toBe(3);
  expect(value('http_requests_total', 'route="/v1/completions"', 'status="400"')).toBe(2);
});

test('times after a known load', async () => {
  const { server } = await knownLoad();
  const value = await scrape(server.url);
  expect(value('vllm:time_to_first_token_seconds_bucket', 'le="0.25"')).toBe(0);
  expect(value('vllm:time_to_first_token_seconds_bucket', 'le="0.5"')).toBe(3);
  expect(value('vllm:inter_token_latency_seconds_count')).toBe(9);
  expect(value('vllm:inter_token_latency_seconds_bucket', 'le="0.01"')).toBe(3);
  expect(value('vllm:inter_token_latency_seconds_bucket', 'le="0.075"')).toBe(9);
  expect(value('vllm:request_time_per_output_token_seconds_sum')).toBeCloseTo(0.12);
  expect(value('vllm:e2e_request_latency_seconds_bucket', 'le="0.3"')).toBe(0);
  expect(value('vllm:e2e_request_latency_seconds_sum')).toBeCloseTo(1.26);
  expect(value('vllm:request_queue_time_seconds_sum')).toBeCloseTo(0.15);
  expect(value('vllm:request_prefill_time_seconds_sum')).toBeCloseTo(0.75);
  expect(value('vllm:request_decode_time_seconds_sum')).toBeCloseTo(0.36);
  expect(value('vllm:request_inference_time_seconds_sum')).toBeCloseTo(1.11);
});

test('n completions share their prompt, and are counted each', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('ab')], finish: 'length' }));
  const server = await startTestServer(engine);
  await (await server.post('/v1/completions', { prompt: 'hello', max_tokens: 2, n: 3 })).text();
  const value = await scrape(server.url);
  expect(value('vllm:prompt_tokens_total')).toBe(5);
  expect(value('vllm:generation_tokens_total')).toBe(6);
  expect(value('vllm:request_success_total', 'finished_reason="length"')).toBe(3);
  expect(value('vllm:request_params_n_bucket', 'le="2"')).toBe(0);
  expect(value('vllm:request_params_n_bucket', 'le="5"')).toBe(1);
  expect(value('vllm:request_max_num_generation_tokens_count')).toBe(1);
});

test('the engine: queues, cache, steps', async () => {
  const { engine, server } = await knownLoad();
  engine.stats = {
    running: 2,
    preemptions: 3,
    waiting: 5,
    loading: 0,
    paused: 4,
    usedBlocks: 16,
    steps: 9,
    speculation: { drafts: 4, draftTokens: 12, acceptedAt: [4, 2, 1] },
  };
  engine.restarts = 2;
  const timings = { schedule: 1, segments: 20, attention: 10, sample: 2, total: 34 };
  const residency = { lifetimes: [1500], idleBeforeEvict: [300, 400], reuseGaps: [5] };
  for (const listen of engine.stepListeners) {
    listen({ numTokens: 12, timings, residency });
    listen({ numTokens: 500, timings, residency: null });
  }
  const value = await scrape(server.url);
  expect(value('vllm:num_requests_running')).toBe(2);
  expect(value('vllm:num_requests_waiting')).toBe(5);
  expect(value('vllm:num_requests_paused')).toBe(4);
  expect(value('vllm:kv_cache_usage_perc')).toBe(0.25);
  expect(value('vllm:num_preemptions_total')).toBe(3);
  expect(value('vllm:engine_restarts_total')).toBe(2);
  expect(value('vllm:cache_config_info', 'block_size="16"', 'num_blocks="64"')).toBe(1);
  expect(value('vllm:cache_config_info', 'eviction_policy="predicted"')).toBe(1);
  expect(value('vllm:scheduler_config_info', 'policy="fcfs"', 'admission_quantile="0.2"')).toBe(1);
  expect(value('vllm:engine_sleep_state', 'sleep_state="awake"')).toBe(1);
  expect(value('vllm:iteration_tokens_total_bucket', 'le="16"')).toBe(1);
  expect(value('vllm:iteration_tokens_total_sum')).toBe(512);
  expect(value('vllm:step_phase_seconds_sum', 'phase="segments"')).toBeCloseTo(0.04);
  expect(value('vllm:step_phase_seconds_sum', 'phase="attention"')).toBeCloseTo(0.02);
  expect(value('vllm:kv_block_lifetime_seconds_sum')).toBeCloseTo(1.5);
  expect(value('vllm:kv_block_idle_before_evict_seconds_count')).toBe(2);
  expect(value('vllm:kv_block_reuse_gap_seconds_bucket', 'le="0.005"')).toBe(1);
  for (const name of ['external_prefix_cache_queries', 'external_prefix_cache_hits']) {
    expect(value(`vllm:${name}_total`)).toBe(0);
  }
  expect(value('vllm:spec_decode_num_drafts_total')).toBe(4);
  expect(value('vllm:spec_decode_num_draft_tokens_total')).toBe(12);
  expect(value('vllm:spec_decode_num_accepted_tokens_total')).toBe(7);
  expect(value('vllm:spec_decode_num_accepted_tokens_per_pos_total', 'position="1"')).toBe(2);
  for (const name of ['nodejs_eventloop_lag_p99_seconds', 'process_cpu_seconds_total']) {
    expect(value(name)).toBeGreaterThanOrEqual(0);
  }
});

test('memory, and how much of it there may be', async () => {
  const server = await startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })));
  const value = await scrape(server.url);
  expect(value('process_memory_limit_bytes')).toBeLessThanOrEqual(totalmem());
  expect(value('process_memory_limit_bytes')).toBeGreaterThan(
    value('process_resident_memory_bytes'),
  );
  expect(value('nodejs_heap_size_limit_bytes')).toBeGreaterThan(
    value('nodejs_heap_size_used_bytes'),
  );
});

test('what has not happened yet is 0, so that its first time is a growth', async () => {
  const server = await startTestServer(new ScriptedEngine(() => ({ steps: [], finish: null })));
  const value = await scrape(server.url);
  for (const reason of ['overloaded', 'rate_limited', 'draining']) {
    expect(value('vllm:admission_rejections_total', `reason="${reason}"`)).toBe(0);
  }
  expect(value('vllm:request_success_total', 'finished_reason="error"')).toBe(0);
});

test('another prefix', async () => {
  const { server } = await knownLoad({ metricsPrefix: 'octavo' });
  const value = await scrape(server.url);
  expect(value('octavo:generation_tokens_total')).toBe(12);
  expect(() => value('vllm:generation_tokens_total')).toThrow('not there');
});

test('buckets of 1, 2, 5 end at the limit', () => {
  expect(buckets125(256)).toEqual([1, 2, 5, 10, 20, 50, 100, 200]);
});

test('tiers behind the KV cache: their tokens are told from those in pages', async () => {
  const engine = new ScriptedEngine(() => ({
    steps: [[1]],
    finish: 'length',
    cachedTokens: 4,
    tierTokens: 3,
  }));
  const down = { ...MEMORY_TIER, name: 'disk' as const, isUp: false, isWritable: false };
  engine.stats = { ...engine.stats, loading: 2, tiers: [MEMORY_TIER, down] };
  const server = await startTestServer(engine);
  await (await server.post('/v1/completions', { prompt: 'hello', max_tokens: 1 })).text();
  const value = await scrape(server.url);
  expect(value('vllm:prompt_tokens_total')).toBe(5);
  expect(value('vllm:prompt_tokens_cached_total')).toBe(4);
  expect(value('vllm:prefix_cache_queries_total')).toBe(5);
  expect(value('vllm:prefix_cache_hits_total')).toBe(1);
  expect(value('vllm:external_prefix_cache_queries_total')).toBe(4);
  expect(value('vllm:external_prefix_cache_hits_total')).toBe(3);
  expect(value('vllm:num_requests_loading')).toBe(2);
  expect(value('vllm:kv_tier_bytes', 'tier="memory"')).toBe(300);
  expect(value('vllm:kv_tier_capacity_bytes', 'tier="memory"')).toBe(1000);
  expect(value('vllm:kv_tier_blocks_queued', 'tier="memory"')).toBe(6);
  expect(value('vllm:kv_tier_up', 'tier="disk"')).toBe(0);
  expect(value('vllm:kv_tier_blocks_asked_total', 'tier="memory"')).toBe(9);
  expect(value('vllm:kv_tier_blocks_found_total', 'tier="memory"')).toBe(4);
  expect(value('vllm:kv_tier_loads_total', 'tier="memory"')).toBe(2);
  expect(value('vllm:kv_tier_load_seconds_total', 'tier="memory"')).toBe(0.03);
  expect(value('vllm:kv_tier_blocks_loaded_total', 'tier="memory"')).toBe(5);
  expect(value('vllm:kv_tier_blocks_stored_total', 'tier="memory"')).toBe(7);
  expect(value('vllm:kv_tier_blocks_failed_total', 'tier="memory"')).toBe(1);
  expect(value('vllm:kv_tier_blocks_dropped_total', 'tier="memory"')).toBe(2);
});

const unasked = (): never => {
  throw new Error('nothing loads adapters here');
};
const NO_ADAPTERS: EngineAdapters = { list: [], load: unasked, unload: unasked };

test('docs/metrics.md lists what there is', async () => {
  const engine = new ScriptedEngine(() => ({ steps: [], finish: null }), {
    device: 'webgpu',
    deviceFacts: { name: 'RTX 4070', memoryBytes: 2 ** 33 },
  });
  engine.stats = { ...engine.stats, tiers: [MEMORY_TIER] };
  const withAdapters = Object.assign(engine, { adapters: NO_ADAPTERS });
  const cache = { queries: 0, hits: 0, bytes: 0, capacity: 1 };
  const prompts = Object.assign(new InlinePrompts(byteModel), { images: { runs: 0, cache } });
  const server = await startTestServer(withAdapters, { prompts });
  const text = await (await fetch(`${server.url}/metrics`)).text();
  expect(text).toMatch(/^vllm:device_info\{device="webgpu",name="RTX 4070",.*\} 1$/m);
  expect(text).toMatch(/^vllm:device_memory_bytes\{.*\} 8589934592$/m);
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name, type]) => [name, type]),
  );
  const own = [...types].filter(([name]) => !/^(process|nodejs)_/.test(name));
  const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const listed = [...page.matchAll(/^\| `([\w:]+)` \| (\w+) \|/gm)].map(([, n, t]) => [n, t]);
  expect(new Map(listed as [string, string][])).toEqual(new Map(own));
});
