import type OpenAI from 'openai';
import { afterEach, expect, test } from 'vitest';
import { OctavoError } from '../../../../engine/errors.js';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { eventually } from '../../../support/eventually.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import {
  startTestServer,
  stopTestServers,
  type TestServerOptions,
} from '../../../support/test-server.js';

afterEach(stopTestServers);

const ASK = { model: 'byte-model', input: 'Hi', background: true } as const;

/** A server whose model says `Hello`, and waits for `go` in the middle of it. */
async function start(options: TestServerOptions = {}) {
  let go = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const engine = new ScriptedEngine(() => ({
    steps: [bytesOf('Hel'), bytesOf('lo'), [EOS]],
    finish: 'stop',
    beforeStep: (step) => (step === 1 ? gate : undefined),
  }));
  return { engine, go, ...(await startTestServer(engine, options)) };
}

/** The response once it has ended. */
async function ended({ responses }: OpenAI, id: string): Promise<OpenAI.Responses.Response> {
  for (;;) {
    const response = await responses.retrieve(id);
    if (response.status !== 'in_progress') return response;
  }
}

test('is there at once, and can be asked for until it is complete', async () => {
  const { client, go, engine, log, inFlight } = await start();
  const { id, status, background } = await client.responses.create(ASK);
  expect([status, background]).toEqual(['in_progress', true]);
  expect(await client.responses.retrieve(id)).toMatchObject({ id, status, output: [] });
  const { data } = await client.responses.inputItems.list(id);
  expect(data).toMatchObject([{ role: 'user' }]);
  await eventually(() => engine.alive.length === 1, 'the engine has it');
  expect(inFlight.size).toBe(1);
  go();
  const response = await ended(client, id);
  expect(response).toMatchObject({ id, status: 'completed', background: true });
  expect(response.output_text).toBe('Hello');
  const next = { model: 'byte-model', input: 'And?', previous_response_id: id };
  expect((await client.responses.create(next)).output_text).toBe('Hello');
  await inFlight.idle();
  // The request that made it has a line with its tokens, as any other.
  const own = () => log.filter((line) => line['id'] === id);
  await eventually(() => own().length > 0, 'a line of the log');
  expect(own()).toMatchObject([{ route: '/v1/responses', status: 200, completionTokens: 6 }]);
});

test('a stream that broke off goes on behind the last event that its client has', async () => {
  const { client, go, engine } = await start();
  const first = await client.responses.create({ ...ASK, stream: true });
  const seen: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of first) {
    seen.push(event);
    // Leaves.
    if (event.type === 'response.output_text.delta') break;
  }
  const created = seen[0] as OpenAI.Responses.ResponseCreatedEvent;
  const { id } = created.response;
  expect(engine.alive).toHaveLength(1);
  const after = seen.at(-1)?.sequence_number ?? -1;
  const second = await client.responses.retrieve(id, { stream: true, starting_after: after });
  go();
  for await (const event of second) seen.push(event);
  expect(seen.map((event) => event.sequence_number)).toEqual(seen.map((_, place) => place));
  const text = seen.flatMap((event) =>
    event.type === 'response.output_text.delta' ? [event.delta] : [],
  );
  expect(text.join('')).toBe('Hello');
  expect(seen.at(-1)).toMatchObject({
    type: 'response.completed',
    response: { id, status: 'completed' },
  });
  // When it has ended, its last event says all.
  const third = await client.responses.retrieve(id, { stream: true, starting_after: after });
  const rest = [];
  for await (const event of third) rest.push(event);
  expect(rest).toMatchObject([{ type: 'response.completed', sequence_number: after + 1 }]);
});

test('cancelled, it leaves the engine and stays cancelled', async () => {
  const { client, engine, inFlight } = await start();
  const { id } = await client.responses.create(ASK);
  await eventually(() => engine.alive.length === 1, 'the engine has it');
  expect(await client.responses.cancel(id)).toMatchObject({ id, status: 'cancelled', error: null });
  await eventually(() => engine.alive.length + inFlight.size === 0, 'nothing runs');
  expect(await client.responses.retrieve(id)).toMatchObject({ status: 'cancelled' });
  // Once more changes nothing.
  expect(await client.responses.cancel(id)).toMatchObject({ status: 'cancelled' });
});

test('deleted while it is made, it is gone', async () => {
  const { client, engine } = await start();
  const { id } = await client.responses.create(ASK);
  await eventually(() => engine.alive.length === 1, 'the engine has it');
  await client.responses.delete(id);
  await eventually(() => engine.alive.length === 0, 'the engine has left it');
  await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
});

test('one that fails says why when it is asked for', async () => {
  const error = new OctavoError('engine_failed', 'the engine has failed');
  const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: null, error }));
  const { client } = await startTestServer(engine);
  const { id } = await client.responses.create(ASK);
  expect(await ended(client, id)).toMatchObject({
    status: 'failed',
    error: {
      code: 'server_error',
      message: expect.stringMatching(/the engine has failed/) as string,
    },
  });
});

test('belongs to the key that asked for it', async () => {
  const { client, go, url } = await start({ apiKeys: ['one', 'two'] });
  const { id } = await client.responses.create(ASK);
  const asTwo = (path: string, method = 'GET') =>
    fetch(url + path, { method, headers: { authorization: 'Bearer two' } });
  const answers = await Promise.all([
    asTwo(`/v1/responses/${id}`),
    asTwo(`/v1/responses/${id}/cancel`, 'POST'),
    asTwo(`/v1/responses/${id}`, 'DELETE'),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
  go();
  expect((await ended(client, id)).output_text).toBe('Hello');
});

test('what is wrong with the request is the answer to it', async () => {
  const { post, engine } = await start();
  const wrong = await post('/v1/responses', { ...ASK, top_logprobs: 3 });
  expect([wrong.status, await wrong.json()]).toMatchObject([
    400,
    { error: { param: 'top_logprobs' } },
  ]);
  expect(engine.submitted).toEqual([]);
});

test('a server that keeps no responses has none', async () => {
  const { post } = await start({ settings: { maxStoredResponses: 0 } });
  const answer = await post('/v1/responses', ASK);
  expect([answer.status, await answer.json()]).toMatchObject([
    400,
    { error: { param: 'background' } },
  ]);
});
