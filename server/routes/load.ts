import { packageVersion } from '../../engine/environment/package-root.js';
import type { InFlight } from '../http/in-flight.js';
import type { KvEventSource } from '../kv-events/zmq-publisher.js';
import type { ModelService } from '../models.js';
import type { Models } from '../pool/models.js';
import type { TypedApp } from './typed-app.js';

/**
 * What routers, load balancers and autoscalers ask of a server, under the names that vLLM (`/load`,
 * `/kv_event_sources`) and SGLang (all others) have for it. Figures of several models are added up.
 *
 * @param kvEvents where KV events are published; null for nowhere
 */
export function addLoadRoutes(
  app: TypedApp,
  models: Models,
  inFlight: InFlight,
  kvEvents: KvEventSource | null,
): void {
  app.get('/load', async () => ({ server_load: inFlight.size }));

  app.get('/get_load', async () => {
    const { running, waiting, usedTokens } = loadOf(models);
    const requests = { num_reqs: running + waiting, num_waiting_reqs: waiting };
    return [{ dp_rank: 0, ...requests, num_tokens: usedTokens }];
  });

  app.get('/v1/loads', async () => {
    const { running, waiting, usedTokens, maxTokens, maxRunning } = loadOf(models);
    const load = {
      dp_rank: 0,
      num_running_reqs: running,
      num_waiting_reqs: waiting,
      num_total_reqs: running + waiting,
      num_used_tokens: usedTokens,
      max_total_num_tokens: maxTokens,
      token_usage: maxTokens === 0 ? 0 : usedTokens / maxTokens,
      max_running_requests: maxRunning,
    };
    return { timestamp: new Date().toISOString(), dp_rank_count: 1, loads: [load] };
  });

  // The second name is older, and still what vllm-router and sglang-router ask first.
  for (const path of ['/server_info', '/get_server_info']) {
    app.get(path, async () => serverInfo(models));
  }
  for (const path of ['/model_info', '/get_model_info']) {
    app.get(path, async () => modelInfo(models.first));
  }

  // By the rank of data parallelism, of which there is one.
  const sources = kvEvents === null ? {} : { 0: kvEvents };
  app.get('/kv_event_sources', async () => sources);
}

/** Tokens are those that blocks have room for: what the pool can give, not what is written. */
function loadOf(models: Models) {
  const sum = (figure: (model: ModelService) => number): number =>
    models.loaded.reduce((total, model) => total + figure(model), 0);
  return {
    running: sum(({ engine }) => engine.stats.running),
    waiting: sum(({ engine }) => engine.stats.waiting),
    usedTokens: sum(({ engine }) => engine.stats.usedBlocks * engine.info.blockSize),
    maxTokens: sum(({ engine }) => engine.info.numBlocks * engine.info.blockSize),
    maxRunning: sum(({ settings }) => settings.maxNumSeqs),
  };
}

function serverInfo(models: Models) {
  const { name, contextLength, service } = models.first;
  const { maxTokens, maxRunning } = loadOf(models);
  return {
    model_id: name,
    served_model_name: name,
    version: packageVersion(),
    context_length: contextLength,
    kv_block_size: service?.engine.info.blockSize ?? null,
    max_total_tokens: maxTokens,
    max_running_requests: maxRunning,
    tp_size: 1,
    pp_size: 1,
    dp_size: 1,
    is_embedding: false,
  };
}

function modelInfo({ name, service }: Models['first']) {
  return {
    model_path: name,
    is_generation: true,
    has_image_understanding: service?.prompts.images !== undefined,
    has_audio_understanding: false,
  };
}
