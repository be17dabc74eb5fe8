import type { FastifyReply } from 'fastify';
import { OctavoError } from '../../engine/errors.js';
import type { ModelService } from '../models.js';
import type { Models } from '../pool/models.js';
import { DashboardFeed, type DashboardSources } from './dashboard-feed.js';

/** One feed for each model that is loaded, from then on until it is unloaded. */
export class DashboardFeeds {
  readonly #models: Models;
  readonly #feeds = new Map<string, DashboardFeed>();

  constructor(models: Models, sources: Omit<DashboardSources, 'service' | 'names'>) {
    this.#models = models;
    const names = (): string[] => models.all.map(({ name }) => name);
    models.listen({
      loaded: (service: ModelService) => {
        this.#feeds.set(service.name, new DashboardFeed({ ...sources, service, names }));
      },
      unloading: ({ name }) => {
        this.#feeds.get(name)?.close();
        this.#feeds.delete(name);
      },
    });
  }

  /**
   * Takes over the reply, which is a stream until its reader leaves, or the model is unloaded.
   *
   * @param model absent: the first that is loaded, in the order of the server's models
   * @throws OctavoError `model_not_found`; `model_unavailable` for one that is not loaded
   */
  add(reply: FastifyReply, model: string | undefined): void {
    const loaded = this.#models.all.find(({ name }) => this.#feeds.has(name));
    const { name } =
      model === undefined ? (loaded ?? this.#models.first) : this.#models.find(model);
    const feed = this.#feeds.get(name);
    if (!feed) {
      throw new OctavoError('model_unavailable', `the model '${name}' is not loaded`);
    }
    feed.add(reply);
  }

  /** Ends all streams, so that the server can close. */
  close(): void {
    for (const feed of this.#feeds.values()) feed.close();
  }
}
