import type { FastifyReply } from 'fastify';
import type { ModelService } from '../models.js';
import type { Models } from '../pool/models.js';
import { DashboardFeed, type DashboardSources } from './dashboard-feed.js';
import { Ring } from './history.js';
import { ModelsFeed } from './models-feed.js';
import { HISTORY_SECONDS, type Sample } from './sample.js';

/**
 * One feed for each model that is loaded, from then on until it is unloaded, and one of all models.
 */
export class DashboardFeeds {
  readonly #models: Models;
  readonly #feeds = new Map<string, DashboardFeed>();
  /** Of models that are loaded, and of those that were in the last minutes. */
  readonly #samples = new Map<string, Ring<Sample>>();
  readonly #overview: ModelsFeed;

  constructor(models: Models, sources: Omit<DashboardSources, 'service' | 'names' | 'samples'>) {
    this.#models = models;
    const { clock } = sources;
    const names = (): string[] => models.all.map(({ name }) => name);
    this.#overview = new ModelsFeed({
      clock,
      entries: () => models.all,
      samplesOf: (name) => this.#samples.get(name),
    });
    models.listen({
      loaded: (service: ModelService) => {
        const { name } = service;
        this.#forgetBefore(clock.now() - 1000 * HISTORY_SECONDS);
        const samples = this.#samples.get(name) ?? new Ring<Sample>(HISTORY_SECONDS);
        this.#samples.set(name, samples);
        this.#feeds.set(name, new DashboardFeed({ ...sources, service, names, samples }));
      },
      unloading: ({ name }) => {
        this.#feeds.get(name)?.close();
        this.#feeds.delete(name);
      },
    });
  }

  /**
   * Takes over the reply, which is a stream until its reader leaves: of the named model until it is
   * unloaded; of all where it is not loaded, or where there are several and none is named.
   *
   * @throws OctavoError `model_not_found`
   */
  add(reply: FastifyReply, model: string | undefined): void {
    const { all, first } = this.#models;
    const named = model === undefined ? (all.length > 1 ? null : first) : this.#models.find(model);
    const feed = named && this.#feeds.get(named.name);
    (feed ?? this.#overview).add(reply);
  }

  /** Ends all streams, so that the server can close. */
  close(): void {
    this.#overview.close();
    for (const feed of this.#feeds.values()) feed.close();
  }

  /** So that a server whose clients name ever new models does not keep the pasts of all. */
  #forgetBefore(time: number): void {
    for (const [name, samples] of this.#samples) {
      const [last] = samples.since(samples.next - 1);
      // A sample begins with its time.
      if (!this.#feeds.has(name) && (last === undefined || last[0] < time)) {
        this.#samples.delete(name);
      }
    }
  }
}
