import type { FastifyReply } from 'fastify';
import type { Clock, Timer } from '../../engine/clock.js';
import { packageVersion } from '../../engine/environment/package-root.js';
import { SseStream } from '../http/sse.js';
import type { ServerMetrics } from '../metrics/server-metrics.js';
import type { ModelService } from '../models.js';
import type { FiguresEvent, ServerEvent } from './events.js';
import type { EndedRequests, Ring } from './history.js';
import { ProcessProbe } from './process-probe.js';
import { SAMPLE_FIELDS, type Sample } from './sample.js';
import { Sampler } from './sampler.js';
import { Watcher } from './watcher.js';

const SAMPLE_MS = 1000;

/** What the dashboard shows: one model, and the server around it. */
export interface DashboardSources {
  readonly clock: Clock;
  readonly service: ModelService;
  /** Of all models of the server. */
  readonly names: () => readonly string[];
  readonly metrics: ServerMetrics;
  readonly endedRequests: EndedRequests;
  /** The model's last seconds; samples are added to it. */
  readonly samples: Ring<Sample>;
}

/**
 * The dashboard's history and its streams. A sample is taken each second, with or without readers;
 * snapshots of blocks and requests are taken only while there are readers.
 */
export class DashboardFeed {
  readonly #sources: DashboardSources;
  readonly #probe: ProcessProbe;
  readonly #sampler: Sampler;
  readonly #samples: Ring<Sample>;
  readonly #timer: Timer;
  /** For each stream, sends the new samples to its reader. */
  readonly #streams = new Map<SseStream, () => void>();

  constructor(sources: DashboardSources) {
    const { clock, service, metrics } = sources;
    this.#sources = sources;
    this.#samples = sources.samples;
    this.#probe = new ProcessProbe(clock);
    this.#sampler = new Sampler(service, metrics, clock, () => this.#probe.read());
    this.#timer = clock.startTimer(() => {
      this.#samples.add(this.#sampler.take());
      for (const tell of this.#streams.values()) tell();
      this.#timer.restart();
    }, SAMPLE_MS);
  }

  /** Takes over the reply, which is a stream until its reader leaves or the server closes. */
  add(reply: FastifyReply): void {
    const { clock, service } = this.#sources;
    const stream = new SseStream(reply, clock);
    const watcher = new Watcher((name, data) => stream.send(data, name));
    const news = this.#newsForOne();
    const tell = (): void => watcher.event('figures', news);
    this.#streams.set(stream, tell);
    watcher.event('server', () => this.#server());
    tell();
    const unwatch = service.engine.watch((snapshot) => watcher.snapshot(snapshot));
    reply.raw.once('close', () => {
      unwatch();
      this.#streams.delete(stream);
    });
  }

  /** Ends all streams, so that the server can close. */
  close(): void {
    this.#timer.cancel();
    this.#probe.close();
    this.#sampler.close();
    for (const stream of this.#streams.keys()) stream.end();
  }

  /**
   * Returns a function that gives, at each call, what the reader does not have yet; first the whole
   * history.
   */
  #newsForOne(): () => FiguresEvent {
    const { endedRequests, service } = this.#sources;
    let [samples, ended] = [0, 0];
    return () => {
      const { state, stats } = service.engine;
      const event = {
        state,
        samples: this.#samples.since(samples),
        ended: endedRequests.since(ended),
        ...(stats.tiers && { tiers: stats.tiers }),
      };
      samples = this.#samples.next;
      ended = endedRequests.next;
      return event;
    };
  }

  #server(): ServerEvent {
    const { service, clock } = this.#sources;
    const { engine, settings } = service;
    const { numBlocks, blockSize, kvDtype, deviceFacts, evictionPolicy } = engine.info;
    const { maxNumSeqs, schedulingPolicy, kvCacheMemory } = settings;
    return {
      model: service.name,
      models: this.#sources.names(),
      version: packageVersion(),
      numBlocks,
      blockSize,
      maxNumSeqs,
      kvDtype,
      ...(deviceFacts && {
        gpu: {
          name: deviceFacts.name,
          memory: deviceFacts.memoryBytes,
          kvCache: kvCacheMemory,
        },
      }),
      evictionPolicy,
      schedulingPolicy,
      time: Math.round(clock.now()),
      fields: SAMPLE_FIELDS,
    };
  }
}
