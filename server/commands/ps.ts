import { Type } from 'typebox';
import type { Endpoint } from '../config/endpoint-options.js';
import { columns } from './columns.js';
import { askWell, expectForm } from './endpoint.js';

const ModelsSchema = Type.Object({
  data: Type.Array(
    Type.Object({
      id: Type.String(),
      max_model_len: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
      state: Type.Optional(Type.String()),
    }),
  ),
});

const LoadsSchema = Type.Object({
  loads: Type.Array(
    Type.Object({
      num_running_reqs: Type.Number(),
      num_waiting_reqs: Type.Number(),
      num_used_tokens: Type.Number(),
      max_total_num_tokens: Type.Number(),
    }),
  ),
});

/**
 * `octavo ps`: the models of a running server, and its load.
 *
 * @throws OctavoError `endpoint_unusable`
 */
export async function ps(endpoint: Endpoint): Promise<number> {
  const get = (path: string): Promise<unknown> => askWell(endpoint, 'GET', path);
  const { data } = expectForm(await get('/v1/models'), ModelsSchema, endpoint, '/v1/models');
  const { loads } = expectForm(await get('/v1/loads'), LoadsSchema, endpoint, '/v1/loads');
  process.stdout.write(
    columns([
      ['NAME', 'STATE', 'CONTEXT'],
      ...data.map(({ id, state, max_model_len: context }) => [
        id,
        state ?? 'loaded',
        String(context ?? '-'),
      ]),
    ]),
  );
  for (const load of loads) {
    const { num_used_tokens: used, max_total_num_tokens: all } = load;
    const share = all === 0 ? 0 : Math.round((100 * used) / all);
    process.stdout.write(
      `${load.num_running_reqs} requests running, ${load.num_waiting_reqs} waiting; ` +
        `${used} of ${all} tokens of the KV cache in use (${share} %)\n`,
    );
  }
  return 0;
}
