/** @import { Chunk, Delta, Run } from './chat-types.js' */
import { ApiError, ConnectionError, events, request } from './api.mjs';

/**
 * Asks for a completion, and reads it as it comes.
 *
 * @param {object} body
 * @param {Run} run gets what becomes known of it
 * @param {(delta: Delta) => void} add
 */
export async function readAnswer(body, run, add) {
  run.start = performance.now();
  const response = await request('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: run.signal,
  });
  for await (const { data } of events(response)) {
    if (data === '[DONE]') return;
    const chunk = /** @type {Chunk} */ (JSON.parse(data));
    if (chunk.error) throw new ApiError(chunk.error.message, 0);
    if (chunk.usage) run.usage = chunk.usage;
    const [choice] = chunk.choices;
    if (!choice) continue;
    run.reason = choice.finish_reason ?? run.reason;
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice.delta;
    if (!content && !reasoning && !calls) continue;
    run.last = performance.now();
    run.first ||= run.last;
    add(choice.delta);
  }
  throw new ConnectionError('the connection ended before the answer did');
}

/**
 * The words under an answer.
 *
 * @param {Run} run
 */
export function figures({ start, first, last, usage, reason }) {
  const words = [];
  if (usage) {
    const { prompt_tokens: prompt, completion_tokens: generated } = usage;
    words.push(`${generated} tokens`);
    if (generated > 1 && last > first) {
      words.push(`${((1000 * (generated - 1)) / (last - first)).toFixed(0)} tok/s`);
    }
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    words.push(`${cached} of ${prompt} prompt tokens cached`);
  }
  if (first > 0) {
    words.splice(Math.min(2, words.length), 0, `first after ${(first - start).toFixed(0)} ms`);
  }
  if (reason === 'length') words.push('cut at max tokens');
  else if (reason !== null && reason !== 'stop') words.push(reason.replace('_', ' '));
  return words;
}
