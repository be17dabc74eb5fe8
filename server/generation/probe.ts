import type { Engine } from '../../engine/client/engine-port.js';
import { OctavoError } from '../../engine/errors.js';
import { PLAIN_REQUEST } from '../../engine/protocol/request.js';
import { GREEDY } from '../../engine/sampling/sampling-params.js';
import type { SequenceId, TokenId } from '../../scheduler/ids.js';

/** Before all requests of clients, where priorities count. */
const FIRST = -(2 ** 31);

let probes = 0;

/**
 * Asks an engine for one token, or an encoder for its vector, and waits until it has computed
 * something: this token, or a step of other requests. So a busy engine computes nothing for the
 * probe.
 *
 * @param token any of the vocabulary
 * @throws OctavoError `overloaded` when no step has ended in time; what the engine throws
 */
export async function probe(engine: Engine, token: TokenId, timeoutMs: number): Promise<void> {
  const controller = new AbortController();
  const [outputs] = engine.submit(
    {
      ...PLAIN_REQUEST,
      ids: [`probe-${probes++}` as SequenceId],
      promptTokenIds: [token],
      maxTokens: 1,
      stopTokenIds: [],
      sampling: GREEDY,
      pooling: engine.info.encoder ? 'model' : null,
      priority: FIRST,
    },
    controller.signal,
  );
  const late = new OctavoError('overloaded', `no step of the engine has ended in ${timeoutMs} ms`);
  const timer = setTimeout(() => controller.abort(late), timeoutMs);
  const stepped = engine.onStep(() => controller.abort());
  try {
    for await (const { finishReason } of outputs) {
      if (finishReason === 'abort' && controller.signal.reason === late) throw late;
    }
  } finally {
    clearTimeout(timer);
    stepped();
  }
}
