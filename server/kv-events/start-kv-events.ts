import type { Logger } from 'pino';
import { OctavoError } from '../../engine/errors.js';
import type { Settings } from '../config/settings.js';
import { createZmqPublisher, type KvEventPublisher } from './zmq-publisher.js';

/**
 * Opens what KV events are published to; the first event says that nothing is cached.
 *
 * @returns null when no events are wanted
 * @throws OctavoError `usage` for flags that contradict each other; `kv_events_unavailable`
 */
export async function startKvEvents(
  settings: Settings,
  logger: Logger,
): Promise<KvEventPublisher | null> {
  const { kvEventsEndpoint: endpoint, kvEventsReplayEndpoint: replayEndpoint } = settings;
  if (endpoint === undefined) {
    if (replayEndpoint === undefined) return null;
    throw new OctavoError(
      'usage',
      `--kv-events-replay-endpoint ${replayEndpoint}: there are no events without --kv-events-endpoint`,
      { param: '--kv-events-replay-endpoint' },
    );
  }
  if (!settings.enablePrefixCaching) {
    throw new OctavoError(
      'usage',
      `--kv-events-endpoint ${endpoint}: there are no events without prefix caching`,
      { param: '--kv-events-endpoint' },
    );
  }
  const publisher = await createZmqPublisher({
    endpoint,
    replayEndpoint: replayEndpoint ?? null,
    topic: settings.kvEventsTopic,
    bufferSteps: settings.kvEventsBufferSteps,
    logger,
    seconds: () => Date.now() / 1000,
  });
  publisher.publish([{ type: 'cleared' }]);
  const { endpoint: address, replay_endpoint: replays } = publisher.source;
  const where = replays === null ? address : `${address}, replays from ${replays}`;
  logger.info(`octavo: KV events go to ${where}`);
  return publisher;
}
