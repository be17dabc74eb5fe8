import type { FastifyReply } from 'fastify';
import type { Clock } from '../../engine/clock.js';
import { SseStream } from '../http/sse.js';
import type { ModelEntry } from '../pool/model-entry.js';
import type { ModelFigures, ModelsEvent, OverviewEvent } from './events.js';
import type { Ring } from './history.js';
import { SAMPLE_FIELDS, type Sample, type SampleField } from './sample.js';
import { Watcher } from './watcher.js';

const INTERVAL_MS = 1000;

/** What the overview shows of a model's samples, in this order. */
const FIELDS = [
  'time',
  'seconds',
  'generated',
  'prompt',
  'ttftP50',
  'itlP50',
  'running',
  'waiting',
  'usedBlocks',
] as const satisfies SampleField[];

const PLACES = FIELDS.map((field) => SAMPLE_FIELDS.indexOf(field));

export interface ModelsSources {
  readonly clock: Clock;
  readonly entries: () => readonly ModelEntry[];
  /** A model's last seconds, also of one that is not loaded any more; absent: it never was. */
  readonly samplesOf: (name: string) => Ring<Sample> | undefined;
}

/** All models side by side: the states of all, and the samples of those that have been loaded. */
export class ModelsFeed {
  readonly #sources: ModelsSources;
  readonly #streams = new Set<SseStream>();

  constructor(sources: ModelsSources) {
    this.#sources = sources;
  }

  /** Takes over the reply, which is a stream until its reader leaves or the server closes. */
  add(reply: FastifyReply): void {
    const { clock } = this.#sources;
    const stream = new SseStream(reply, clock);
    const watcher = new Watcher((name, data) => stream.send(data, name));
    const news = this.#newsForOne();
    const timer = clock.startTimer(() => {
      watcher.event('models', news);
      timer.restart();
    }, INTERVAL_MS);
    this.#streams.add(stream);
    watcher.event('overview', (): OverviewEvent => ({ fields: FIELDS }));
    watcher.event('models', news);
    reply.raw.once('close', () => {
      timer.cancel();
      this.#streams.delete(stream);
    });
  }

  /** Ends all streams, so that the server can close. */
  close(): void {
    for (const stream of this.#streams) stream.end();
  }

  /**
   * Returns a function that gives, at each call, what the reader does not have yet; first the whole
   * history.
   */
  #newsForOne(): () => ModelsEvent {
    const { clock, entries, samplesOf } = this.#sources;
    const sent = new Map<Ring<Sample>, number>();
    const figuresOf = (entry: ModelEntry): ModelFigures => {
      const { name, state, bytes, expiresIn, failure, waiters, service } = entry;
      const ring = samplesOf(name);
      const samples = ring?.since(sent.get(ring) ?? 0) ?? [];
      if (ring) sent.set(ring, ring.next);
      return {
        name,
        state,
        bytes,
        expiresIn: expiresIn === null ? null : Math.round(expiresIn),
        failure: state === 'failed' ? (failure?.message ?? null) : null,
        waiters: waiters.size,
        numBlocks: service?.engine.info.numBlocks ?? null,
        samples: samples.map((sample) => PLACES.map((place) => sample[place])),
      };
    };
    return () => ({ time: Math.round(clock.now()), models: entries().map(figuresOf) });
  }
}
