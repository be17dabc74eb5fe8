import type { FastifyReply } from 'fastify';
import type { Timer } from '../../engine/clock.js';
import { packageVersion } from '../../engine/environment/package-root.js';
import type { AppContext } from '../app-context.js';
import { SseStream } from '../http/sse.js';
import type { ServerEvent } from './events.js';
import { Figures } from './figures.js';
import { Watcher } from './watcher.js';

const FIGURES_MS = 1000;

/** What there is while somebody watches. */
interface Session {
  readonly figures: Figures;
  readonly timer: Timer;
}

/** The dashboard's streams. While there is none, nothing is listened to and nothing is computed. */
export class DashboardFeed {
  readonly #context: AppContext;
  readonly #streams = new Map<SseStream, Watcher>();
  #session: Session | null = null;

  constructor(context: AppContext) {
    this.#context = context;
  }

  /** Takes the reply over: it is a stream until its reader leaves, or the server closes. */
  add(reply: FastifyReply): void {
    const { clock, engine } = this.#context;
    const stream = new SseStream(reply, clock);
    const watcher = new Watcher((name, data) => stream.send(data, name));
    this.#streams.set(stream, watcher);
    this.#session ??= this.#begin();
    watcher.event('server', this.#server());
    watcher.event('figures', this.#session.figures.values);
    const unwatch = engine.watch((snapshot) => watcher.snapshot(snapshot));
    reply.raw.once('close', () => {
      unwatch();
      this.#streams.delete(stream);
      if (this.#streams.size === 0) this.#end();
    });
  }

  /** Ends all streams, so that the server can close. */
  close(): void {
    for (const stream of this.#streams.keys()) stream.end();
  }

  #server(): ServerEvent {
    const { engine, model, settings } = this.#context;
    const { numBlocks, blockSize } = engine.info;
    const { maxNumSeqs, kvDtype } = settings;
    const version = packageVersion();
    return { model: model.names[0], version, numBlocks, blockSize, maxNumSeqs, kvDtype };
  }

  #begin(): Session {
    const { clock, engine, metrics } = this.#context;
    const figures = new Figures(engine, metrics, clock);
    const timer = clock.startTimer(() => {
      for (const watcher of this.#streams.values()) watcher.event('figures', figures.values);
      timer.restart();
    }, FIGURES_MS);
    return { figures, timer };
  }

  #end(): void {
    this.#session?.timer.cancel();
    this.#session?.figures.close();
    this.#session = null;
  }
}
