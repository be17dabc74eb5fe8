import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../../engine/clock.js';
import { parseKeys } from '../../../server/keys/key-file.js';
import { KeyTable } from '../../../server/keys/key-table.js';
import { bytesOf, EOS } from '../../support/byte-model.js';
import { modelDir } from '../../support/model-dir.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import {
  eventually,
  startTestServer,
  stopTestServers,
  type TestServer,
  type TestServerOptions,
} from '../../support/test-server.js';

afterEach(stopTestServers);

interface Held {
  readonly engine: ScriptedEngine;
  readonly goOn: () => void;
}

/** Answers `ok`; a prompt with `slow` waits until it is told to go on, and has many steps. */
function engineThatWaits(): Held {
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  const script = ({ promptTokenIds }: { promptTokenIds: readonly number[] }) => {
    const isSlow = Buffer.from(promptTokenIds).toString().includes('slow');
    return {
      steps: [bytesOf('o'), [...bytesOf('k'), EOS]],
      finish: 'stop' as const,
      beforeStep: () => (isSlow ? held : Promise.resolve()),
      embedding: Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0),
    };
  };
  return { engine: new ScriptedEngine(script, {}, true), goOn };
}

const start = (
  engine: ScriptedEngine,
  batchDir: string,
  { settings, ...options }: TestServerOptions = {},
): Promise<TestServer> =>
  startTestServer(engine, { ...options, settings: { batchDir, ...settings } });

const CHAT = '/v1/chat/completions';

const line = (id: string, content = 'hi', more: object = {}): string =>
  JSON.stringify({
    custom_id: id,
    method: 'POST',
    url: CHAT,
    body: { messages: [{ role: 'user', content }] },
    ...more,
  });

async function upload(client: OpenAI, lines: readonly string[]): Promise<OpenAI.FileObject> {
  const file = await toFile(Buffer.from(lines.join('\n')), 'requests.jsonl');
  return client.files.create({ file, purpose: 'batch' });
}

async function create(client: OpenAI, lines: readonly string[]): Promise<OpenAI.Batch> {
  const { id } = await upload(client, lines);
  return client.batches.create({
    input_file_id: id,
    endpoint: CHAT,
    completion_window: '24h',
    metadata: { run: '7' },
  });
}

async function ended(client: OpenAI, { id }: OpenAI.Batch): Promise<OpenAI.Batch> {
  let batch = await client.batches.retrieve(id);
  await eventually(async () => {
    batch = await client.batches.retrieve(id);
    return ['completed', 'failed', 'cancelled', 'expired'].includes(batch.status);
  }, 'the end of a batch');
  return batch;
}

/** A request leaves its seat to the next a moment before its answer is kept. */
const hasAnswered = (client: OpenAI, { id }: OpenAI.Batch, count: number): Promise<void> =>
  eventually(async () => {
    const batch = await client.batches.retrieve(id);
    return batch.request_counts?.completed === count;
  }, 'the answers before are kept');

interface Answer {
  custom_id: string;
  response: { status_code: number; body: OpenAI.ChatCompletion } | null;
  error: { code: string } | null;
}

async function answers(client: OpenAI, id: string | null | undefined): Promise<Answer[]> {
  const text = await (await client.files.content(id ?? '')).text();
  const lines = text.split('\n').filter((part) => part !== '');
  return lines.map((part) => JSON.parse(part) as Answer);
}

test('the official client uploads, lists, retrieves, downloads and deletes files', async () => {
  const { client } = await start(engineThatWaits().engine, modelDir({}));
  const lines = [line('a'), '', line('b')];
  const file = await upload(client, lines);
  expect(file).toMatchObject({
    id: expect.stringMatching(/^file-[\da-f]{32}$/) as string,
    object: 'file',
    bytes: lines.join('\n').length,
    filename: 'requests.jsonl',
    purpose: 'batch',
    status: 'processed',
    expires_at: null,
  });
  const kept = await client.files.create({
    file: await toFile(Buffer.from(line('c')), 'c.jsonl'),
    purpose: 'batch',
    expires_after: { anchor: 'created_at', seconds: 3600 },
  });
  expect(kept.expires_at).toBe(kept.created_at + 3600);
  const listed: string[] = [];
  for await (const { id } of client.files.list({ limit: 1, purpose: 'batch' })) listed.push(id);
  expect(listed).toEqual([kept.id, file.id]);
  expect((await client.files.list({ purpose: 'batch_output' })).data).toEqual([]);
  expect(await client.files.retrieve(file.id)).toMatchObject({ id: file.id });
  expect(await (await client.files.content(file.id)).text()).toBe(lines.join('\n'));
  expect(await client.files.delete(file.id)).toEqual({
    id: file.id,
    object: 'file',
    deleted: true,
  });
  await expect(client.files.retrieve(file.id)).rejects.toMatchObject({ status: 404 });
});

test.each([
  [[line('a'), '{'], 'file: line 2: must be a JSON object'],
  [[line('a'), '', line('a')], 'file: line 3: custom_id a: line 1 has the same'],
  [[line('a', 'x', { url: '/v1/models' })], 'file: line 1: url must be one of /v1/chat/compl'],
  [[line('a', 'x', { body: { stream: true } })], 'file: line 1: body.stream: an answer of a'],
  [['', ''], 'file: it has no request'],
])('an upload with a mistake is refused with its line: %s', async (lines, message) => {
  const directory = modelDir({});
  const { client } = await start(engineThatWaits().engine, directory);
  await expect(upload(client, lines)).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining(message) as string,
  });
  expect(readdirSync(join(directory, 'files'))).toEqual([]);
});

test('uploads have a size, a purpose, and a form', async () => {
  const directory = modelDir({});
  const settings = { maxBatchFileSize: 300, maxBatchStorage: 200 };
  const { client, url, post } = await start(engineThatWaits().engine, directory, { settings });
  await expect(upload(client, [line('a', 'x'.repeat(300))])).rejects.toMatchObject({
    status: 413,
    message: expect.stringContaining('more than 300 bytes') as string,
  });
  const send = async (fields: Record<string, string | Blob>): Promise<[number, string]> => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    const response = await fetch(`${url}/v1/files`, { method: 'POST', body: form });
    const { error } = (await response.json()) as { error: { message: string } };
    return [response.status, error.message];
  };
  const file = new Blob([line('a')]);
  expect(await send({ file })).toEqual([400, 'purpose: it is missing; must be batch']);
  expect(await send({ file, purpose: 'vision' })).toEqual([
    400,
    'purpose: vision is not supported; must be batch',
  ]);
  expect(await send({ purpose: 'batch' })).toEqual([400, 'file: it is missing']);
  expect(await send({ other: file, purpose: 'batch' })).toEqual([
    400,
    'other is no file that is taken; the field is called file',
  ]);
  expect(await send({ file, purpose: 'batch', 'expires_after[anchor]': 'created_at' })).toEqual([
    400,
    'expires_after[seconds] must be an integer from 3600 to 2592000',
  ]);
  expect((await post('/v1/files', {})).status).toBe(415);
  const type = 'multipart/form-data; boundary=x';
  const begun = '--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n{"cust';
  for (const [header, body] of [
    ['multipart/form-data', begun],
    [type, begun],
    [type, 'no form'],
  ] as const) {
    const response = await post('/v1/files', body, { 'content-type': header });
    const { error } = (await response.json()) as { error: { message: string } };
    expect([response.status, error.message]).toEqual([
      400,
      expect.stringContaining('the form cannot be read: '),
    ]);
  }
  expect(readdirSync(join(directory, 'files'))).toEqual([]);
  await upload(client, [line('a', 'x'.repeat(120))]);
  await expect(upload(client, [line('b')])).rejects.toMatchObject({
    status: 409,
    code: 'batch_storage_full',
  });
});

test('a batch is answered: outputs, errors and counts', async () => {
  const { client } = await start(engineThatWaits().engine, modelDir({}));
  const created = await create(client, [line('a'), line('b', 'x', { body: {} }), line('c')]);
  expect(created).toMatchObject({
    status: 'validating',
    endpoint: CHAT,
    expires_at: created.created_at + 86_400,
    metadata: { run: '7' },
    request_counts: { total: 0, completed: 0, failed: 0 },
  });
  const batch = await ended(client, created);
  expect(batch).toMatchObject({
    status: 'completed',
    errors: null,
    request_counts: { total: 3, completed: 2, failed: 1 },
  });
  const good = await answers(client, batch.output_file_id);
  expect(good.map(({ custom_id: id }) => id).sort()).toEqual(['a', 'c']);
  expect(good[0]?.response?.body.choices[0]?.message.content).toBe('ok');
  const [bad] = await answers(client, batch.error_file_id);
  expect(bad).toMatchObject({ custom_id: 'b', response: { status_code: 400 }, error: null });
  expect((await client.batches.list()).data.map(({ id }) => id)).toEqual([batch.id]);
  const names = (await client.files.list({ purpose: 'batch_output' })).data;
  expect(names.map(({ filename }) => filename).sort()).toEqual([
    `${batch.id}_errors.jsonl`,
    `${batch.id}_output.jsonl`,
  ]);
  await expect(client.batches.cancel(batch.id)).rejects.toThrow('the batch is completed');
});

test.each([
  ['/v1/completions' as const, { prompt: 'x' }, 'text_completion'],
  ['/v1/embeddings' as const, { input: 'x' }, 'list'],
  ['/v1/responses' as const, { input: 'x' }, 'response'],
])('%s', async (url, body, object) => {
  const { client } = await start(engineThatWaits().engine, modelDir({}));
  const { id } = await upload(client, [line('a', '', { url, body })]);
  const made = await client.batches.create({
    input_file_id: id,
    endpoint: url,
    completion_window: '24h',
  });
  const batch = await ended(client, made);
  expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
  const [answer] = await answers(client, batch.output_file_id);
  expect(answer?.response?.body).toMatchObject({ object });
  const wrong = await client.batches.create({
    input_file_id: id,
    endpoint: CHAT,
    completion_window: '24h',
  });
  const failed = await ended(client, wrong);
  expect(failed).toMatchObject({
    status: 'failed',
    errors: { data: [{ code: 'mismatched_endpoint', line: 1, param: 'url' }] },
  });
});

test('a batch is cancelled; what is answered stays', async () => {
  const { engine } = engineThatWaits();
  const { client } = await start(engine, modelDir({}), { settings: { batchMaxNumSeqs: 1 } });
  const made = await create(client, [line('a'), line('b', 'slow'), line('c')]);
  await eventually(() => engine.submitted.length === 2, 'b runs');
  await hasAnswered(client, made, 1);
  await expect(client.files.delete(made.input_file_id)).rejects.toMatchObject({
    status: 409,
    code: 'file_in_use',
  });
  expect((await client.batches.cancel(made.id)).status).toBe('cancelling');
  const batch = await ended(client, made);
  expect(batch).toMatchObject({
    status: 'cancelled',
    error_file_id: null,
    request_counts: { total: 3, completed: 1, failed: 0 },
  });
  expect((await answers(client, batch.output_file_id)).map((answer) => answer.custom_id)).toEqual([
    'a',
  ]);
  await eventually(() => engine.alive.length === 0, 'b has ended');
});

test('a batch goes on after a restart, and asks nothing twice', async () => {
  const directory = modelDir({});
  const before = engineThatWaits();
  const settings = { batchMaxNumSeqs: 1 };
  const first = await start(before.engine, directory, { settings });
  const made = await create(first.client, [line('a'), line('b', 'slow'), line('c')]);
  await eventually(() => before.engine.submitted.length === 2, 'b runs');
  await hasAnswered(first.client, made, 1);
  first.inFlight.drain();
  await first.inFlight.idle();
  await stopTestServers();
  const after = engineThatWaits();
  after.goOn();
  const { client } = await start(after.engine, directory, { settings });
  const batch = await ended(client, made);
  expect(batch).toMatchObject({
    status: 'completed',
    request_counts: { total: 3, completed: 3, failed: 0 },
  });
  const found = await answers(client, batch.output_file_id);
  expect(found.map((answer) => answer.custom_id)).toEqual(['a', 'b', 'c']);
  expect(after.engine.submitted).toHaveLength(2);
});

test('a batch that takes too long expires, with a line for each request without an answer', async () => {
  const directory = modelDir({});
  const { engine } = engineThatWaits();
  const settings = { batchMaxNumSeqs: 1 };
  const first = await start(engine, directory, { settings });
  const made = await create(first.client, [line('a'), line('b', 'slow'), line('c')]);
  await eventually(() => engine.submitted.length === 2, 'b runs');
  await hasAnswered(first.client, made, 1);
  await stopTestServers();
  const unixSeconds = (): number => systemClock.unixSeconds() + 86_401;
  const { client } = await start(engine, directory, {
    settings,
    clock: { ...systemClock, unixSeconds },
  });
  const batch = await ended(client, made);
  expect(batch).toMatchObject({
    status: 'expired',
    request_counts: { total: 3, completed: 1, failed: 2 },
  });
  const late = await answers(client, batch.error_file_id);
  expect(late.map(({ custom_id: id, error }) => [id, error?.code])).toEqual([
    ['b', 'batch_expired'],
    ['c', 'batch_expired'],
  ]);
});

test('a batch takes no place in the queue, yields its seats, and goes on', async () => {
  const { engine, goOn } = engineThatWaits();
  const settings = {
    maxNumSeqs: 2,
    batchMaxNumSeqs: 2,
    maxQueuedRequests: 2,
    rateLimitRequests: 9,
  };
  const { client, post } = await start(engine, modelDir({}), { settings });
  const lines = Array.from({ length: 9 }, (_, i) => line(`r${i}`, 'slow'));
  const made = await create(client, lines);
  await eventually(() => engine.submitted.length === 2, 'two requests run');
  expect(engine.submitted.map(({ request }) => request.priority)).toEqual([
    2 ** 31 - 1,
    2 ** 31 - 1,
  ]);
  const chat = post(CHAT, { messages: [{ role: 'user', content: 'slow' }] });
  await eventually(() => engine.submitted.length === 3, 'the request of a client runs');
  expect([...engine.paused]).toEqual([engine.submitted[1]?.id]);
  goOn();
  expect((await chat).status).toBe(200);
  const batch = await ended(client, made);
  expect(batch.request_counts).toEqual({ total: 9, completed: 9, failed: 0 });
  expect(engine.paused.size).toBe(0);
});

const KEYS = `
keys:
  - {name: alice, key: sk-alice}
  - {name: bob, key: sk-bob}
`;

test('files, batches and responses are private to a key, in whose name they run', async () => {
  const { engine, goOn } = engineThatWaits();
  const keys = new KeyTable([], parseKeys(KEYS, 'keys.yaml'));
  const directory = modelDir({});
  const settings = { batchMaxNumSeqs: 1 };
  const { url, log } = await start(engine, directory, { keys, settings });
  const [alice, bob] = ['alice', 'bob'].map(
    (name) => new OpenAI({ baseURL: `${url}/v1`, apiKey: `sk-${name}`, maxRetries: 0 }),
  ) as [OpenAI, OpenAI];
  const made = await create(alice, [line('a')]);
  const batch = await ended(alice, made);
  expect(batch.status).toBe('completed');
  expect(log).toContainEqual(expect.objectContaining({ route: CHAT, keyName: 'alice' }));
  expect((await bob.batches.list()).data).toEqual([]);
  expect((await bob.files.list()).data).toEqual([]);
  const none = { status: 404 };
  await expect(bob.batches.retrieve(batch.id)).rejects.toMatchObject(none);
  await expect(bob.batches.cancel(batch.id)).rejects.toMatchObject(none);
  await expect(bob.files.retrieve(batch.input_file_id)).rejects.toMatchObject(none);
  await expect(bob.files.content(batch.output_file_id ?? '')).rejects.toMatchObject(none);
  await expect(bob.files.delete(batch.input_file_id)).rejects.toMatchObject(none);
  const response = await alice.responses.create({ model: 'byte-model', input: 'x' });
  await expect(bob.responses.retrieve(response.id)).rejects.toMatchObject(none);
  expect((await alice.responses.retrieve(response.id)).id).toBe(response.id);
  const [first, second] = engine.submitted;
  expect(first?.request.tenant).toBe(second?.request.tenant);

  const slow = await create(bob, [line('a', 'slow'), line('b')]);
  await eventually(() => engine.alive.length === 1, 'it runs');
  keys.replaceNamed(parseKeys('keys: [{name: alice, key: sk-alice}]', 'keys.yaml'));
  goOn();
  const record = join(directory, 'batches', `${slow.id}.json`);
  await eventually(() => readFileSync(record, 'utf8').includes('"status":"failed"'), 'its end');
  keys.replaceNamed(parseKeys(KEYS, 'keys.yaml'));
  expect(await ended(bob, slow)).toMatchObject({
    status: 'failed',
    errors: { data: [{ code: 'invalid_api_key', line: null }] },
  });
});

test('without --batch-dir each route says which flag is missing', async () => {
  const { url, client, post } = await startTestServer(engineThatWaits().engine);
  await expect(upload(client, [line('a')])).rejects.toMatchObject({
    status: 403,
    code: 'batches_not_enabled',
    message: expect.stringContaining('start the server with --batch-dir') as string,
  });
  expect((await post('/v1/batches', {})).status).toBe(403);
  for (const path of ['files', 'files/x', 'files/x/content', 'batches', 'batches/x']) {
    expect((await fetch(`${url}/v1/${path}`)).status).toBe(403);
  }
});

test('a directory with something else in it is refused', async () => {
  const directory = modelDir({ 'batches/x.json': '{}' });
  await expect(start(engineThatWaits().engine, directory)).rejects.toThrow(
    'x.json: is no record of a batch or of a file',
  );
});
