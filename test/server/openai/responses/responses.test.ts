import type OpenAI from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { OctavoError } from '../../../../engine/errors.js';
import { bytesOf, EOS } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { eventually, startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

const MODEL = 'byte-model';

/** Says a text byte by byte, then ends. */
const saying = (text: string, cachedTokens = 0): ScriptedEngine =>
  new ScriptedEngine(({ maxTokens }) => {
    const ids = bytesOf(text);
    const cut = ids.length >= maxTokens;
    const steps = (cut ? ids.slice(0, maxTokens) : [...ids, EOS]).map((id) => [id]);
    return { steps, finish: cut ? 'length' : 'stop', cachedTokens };
  });

const promptOf = (engine: ScriptedEngine, index = 0): string =>
  Buffer.from(engine.submitted[index]?.request.promptTokenIds ?? []).toString();

describe('whole', () => {
  test('a text, with instructions', async () => {
    const engine = saying('Grüße 🐙', 4);
    const { client } = await startTestServer(engine);
    const response = await client.responses.create({
      model: MODEL,
      input: 'Hi',
      instructions: 'Be brief.',
      metadata: { a: 'b' },
      temperature: 0.5,
    });
    expect(promptOf(engine)).toBe('<system>Be brief.<user>Hi<assistant>');
    expect(engine.submitted[0]?.request).toMatchObject({ maxTokens: 256 - 36 });
    expect(response.output_text).toBe('Grüße 🐙');
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      model: MODEL,
      error: null,
      incomplete_details: null,
      instructions: 'Be brief.',
      metadata: { a: 'b' },
      temperature: 0.5,
      top_p: 1,
      tools: [],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      previous_response_id: null,
      text: { format: { type: 'text' } },
      truncation: 'disabled',
      output: [
        {
          type: 'message',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Grüße 🐙', annotations: [] }],
        },
      ],
      usage: {
        input_tokens: 36,
        input_tokens_details: { cached_tokens: 4 },
        output_tokens: 13,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 49,
      },
    });
    expect(response.id).toMatch(/^resp_/);
    expect(response.output[0]?.id).toMatch(/^msg_/);
    expect(response.completed_at).toBeGreaterThanOrEqual(response.created_at);
  });

  test('cut by max_output_tokens it is incomplete', async () => {
    const { client } = await startTestServer(saying('one two'));
    const response = await client.responses.create({
      model: MODEL,
      input: 'x',
      max_output_tokens: 3,
    });
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      max_output_tokens: 3,
      output: [{ status: 'incomplete', content: [{ text: 'one' }] }],
      completed_at: null,
    });
  });

  test('an empty answer has an empty message', async () => {
    const { client } = await startTestServer(saying(''));
    const { output, output_text } = await client.responses.create({ model: MODEL, input: 'x' });
    expect(output).toMatchObject([{ type: 'message', content: [{ text: '' }] }]);
    expect(output_text).toBe('');
  });

  test('items become messages, those of an earlier answer too', async () => {
    const engine = saying('ok');
    const { client } = await startTestServer(engine);
    await client.responses.create({
      model: MODEL,
      input: [
        { role: 'developer', content: 'D' },
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'U' }] },
        { type: 'reasoning', id: 'rs_1', summary: [] },
        {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          status: 'completed',
          content: [
            { type: 'output_text', text: 'A', annotations: [] },
            { type: 'refusal', refusal: 'R' },
          ],
        },
        { role: 'user', content: 'V' },
      ],
    });
    expect(promptOf(engine)).toBe('<system>D<user>U<assistant>AR<user>V<assistant>');
  });
});

describe('streaming', () => {
  test('named events, in order and numbered, without a marker at the end', async () => {
    const { post } = await startTestServer(saying('ab'));
    const answer = await post('/v1/responses', { input: 'x', stream: true });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    const text = await answer.text();
    expect(text).not.toContain('[DONE]');
    expect(text.endsWith('\n\n')).toBe(true);
    const events = text
      .trimEnd()
      .split('\n\n')
      .map((event) => {
        const [name, data] = event.split('\n');
        return {
          name: name?.replace('event: ', ''),
          data: JSON.parse(data?.replace('data: ', '') ?? '') as Record<string, unknown>,
        };
      });
    expect(events.map(({ name }) => name)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ data }) => data['type'])).toEqual(events.map(({ name }) => name));
    expect(events.map(({ data }) => data['sequence_number'])).toEqual(events.map((_, i) => i));
    const [created, , added, part, delta] = events.map(({ data }) => data);
    expect(created).toMatchObject({ response: { status: 'in_progress', output: [], usage: null } });
    expect(added).toBeDefined();
    const { id } = (added ?? {})['item'] as { id: string };
    expect(added).toMatchObject({
      output_index: 0,
      item: { type: 'message', status: 'in_progress', role: 'assistant', content: [] },
    });
    const place = { item_id: id, output_index: 0, content_index: 0 };
    expect(part).toMatchObject({ ...place, part: { type: 'output_text', text: '' } });
    expect(delta).toMatchObject({ ...place, delta: 'a', logprobs: [] });
    expect(events[6]?.data).toMatchObject({ ...place, text: 'ab', logprobs: [] });
    expect(events[7]?.data).toMatchObject({ ...place, part: { type: 'output_text', text: 'ab' } });
    expect(events[8]?.data).toMatchObject({ item: { id, status: 'completed' } });
    const response = events[9]?.data['response'] as { output: object[] };
    expect(response.output).toEqual([events[8]?.data['item']]);
  });

  test('the stream helper of the client puts the same response together', async () => {
    const { client } = await startTestServer(saying('Grüße 🐙'));
    const stream = client.responses.stream({ model: MODEL, input: 'x' });
    const deltas: string[] = [];
    stream.on('response.output_text.delta', ({ delta }) => deltas.push(delta));
    const response = await stream.finalResponse();
    expect(deltas.join('')).toBe('Grüße 🐙');
    expect(response.output_text).toBe('Grüße 🐙');
    expect(response).toMatchObject({ status: 'completed', usage: { output_tokens: 13 } });
    const kept = await client.responses.retrieve(response.id);
    expect(kept.output.map(({ id }) => id)).toEqual(response.output.map(({ id }) => id));
  });

  const eventsOf = async (
    client: OpenAI,
    params: Omit<OpenAI.Responses.ResponseCreateParamsStreaming, 'stream'>,
  ): Promise<OpenAI.Responses.ResponseStreamEvent[]> => {
    const events: OpenAI.Responses.ResponseStreamEvent[] = [];
    const stream = await client.responses.create({ ...params, stream: true });
    for await (const event of stream) events.push(event);
    return events;
  };

  test('cut, it ends with response.incomplete', async () => {
    const { client } = await startTestServer(saying('one two'));
    const events = await eventsOf(client, { model: MODEL, input: 'x', max_output_tokens: 3 });
    expect(events.at(-2)).toMatchObject({ item: { status: 'incomplete' } });
    expect(events.at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: { incomplete_details: { reason: 'max_output_tokens' } },
    });
  });

  test('an error after the start ends it with response.failed', async () => {
    const error = new OctavoError('engine_failed', '/secret/path');
    const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: null, error }));
    const { client, inFlight } = await startTestServer(engine);
    const events = await eventsOf(client, { model: MODEL, input: 'x' });
    const last = events.at(-1);
    expect(last).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'server_error' } },
    });
    expect(JSON.stringify(last)).not.toContain('secret');
    await inFlight.idle();
  });

  test('a client that leaves aborts it, and nothing is kept', async () => {
    const engine = new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: null }));
    const { client } = await startTestServer(engine);
    const stream = await client.responses.create({ model: MODEL, input: 'x', stream: true });
    let id = '';
    for await (const event of stream) {
      if (event.type === 'response.created') ({ id } = event.response);
      if (event.type === 'response.output_text.delta') break;
    }
    await eventually(() => engine.alive.length === 0, 'abort');
    await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('previous_response_id', () => {
  test('continues a conversation, but not its instructions', async () => {
    const engine = saying('yes');
    const { client } = await startTestServer(engine);
    const first = await client.responses.create({ model: MODEL, input: 'a', instructions: 'I' });
    const second = await client.responses.create({
      model: MODEL,
      input: 'b',
      previous_response_id: first.id,
    });
    const third = await client.responses.create({
      model: MODEL,
      input: 'c',
      previous_response_id: second.id,
    });
    expect(promptOf(engine, 2)).toBe(
      '<user>a<assistant>yes<user>b<assistant>yes<user>c<assistant>',
    );
    expect(third.previous_response_id).toBe(second.id);
    const items = await client.responses.inputItems.list(third.id, { order: 'asc' });
    expect(items.data.map((item) => item.type)).toEqual(Array.from({ length: 5 }, () => 'message'));
  });

  test('is continued after the earlier turns are gone', async () => {
    const engine = saying('yes');
    const { client } = await startTestServer(engine, { settings: { maxStoredResponses: 1 } });
    const first = await client.responses.create({ model: MODEL, input: 'a' });
    const second = await client.responses.create({
      model: MODEL,
      input: 'b',
      previous_response_id: first.id,
    });
    await expect(client.responses.retrieve(first.id)).rejects.toMatchObject({ status: 404 });
    await client.responses.create({ model: MODEL, input: 'c', previous_response_id: second.id });
    expect(promptOf(engine, 2)).toContain('<user>a<assistant>yes<user>b');
  });

  test('unknown, deleted or never kept it is a 400', async () => {
    const { client } = await startTestServer(saying('yes'));
    const refused = {
      status: 400,
      code: 'previous_response_not_found',
      param: 'previous_response_id',
    };
    const follow = (id: string) =>
      client.responses.create({ model: MODEL, input: 'b', previous_response_id: id });
    await expect(follow('resp_x')).rejects.toMatchObject(refused);
    const unkept = await client.responses.create({ model: MODEL, input: 'a', store: false });
    await expect(follow(unkept.id)).rejects.toMatchObject(refused);
    const kept = await client.responses.create({ model: MODEL, input: 'a' });
    await client.responses.delete(kept.id);
    await expect(follow(kept.id)).rejects.toMatchObject(refused);
  });
});

describe('kept responses', () => {
  test('are shown, with their input, and deleted', async () => {
    const { client, url } = await startTestServer(saying('yes'));
    const made = await client.responses.create({ model: MODEL, input: 'a' });
    expect(await client.responses.retrieve(made.id)).toMatchObject({
      id: made.id,
      output: made.output,
    });
    const items = await client.responses.inputItems.list(made.id);
    expect(items.data).toMatchObject([
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'a' }] },
    ]);
    await client.responses.delete(made.id);
    await expect(client.responses.retrieve(made.id)).rejects.toMatchObject({ status: 404 });
    const again = await fetch(`${url}/v1/responses/${made.id}`, { method: 'DELETE' });
    expect(again.status).toBe(404);
  });

  test('input items come in pages', async () => {
    const { client, url } = await startTestServer(saying('yes'));
    const input = ['a', 'b', 'c'].map((content) => ({ role: 'user' as const, content }));
    const { id } = await client.responses.create({ model: MODEL, input });
    const texts: string[] = [];
    for await (const item of client.responses.inputItems.list(id, { limit: 2, order: 'asc' })) {
      texts.push(JSON.stringify(item));
    }
    expect(texts.map((text) => /"text":"(.)"/.exec(text)?.[1])).toEqual(['a', 'b', 'c']);
    for (const query of ['limit=0', 'limit=x', 'after=nope', 'order=up']) {
      expect((await fetch(`${url}/v1/responses/${id}/input_items?${query}`)).status).toBe(400);
    }
  });

  test('a reference stands for an item that is kept', async () => {
    const engine = saying('yes');
    const { client } = await startTestServer(engine);
    const { output } = await client.responses.create({ model: MODEL, input: 'a' });
    const id = output[0]?.id ?? '';
    const input = [
      { role: 'user' as const, content: 'a' },
      { type: 'item_reference' as const, id },
      { role: 'user' as const, content: 'b' },
    ];
    await client.responses.create({ model: MODEL, input });
    expect(promptOf(engine, 1)).toBe('<user>a<assistant>yes<user>b<assistant>');
    const unknown = client.responses.create({
      model: MODEL,
      input: [{ type: 'item_reference', id: 'no' }],
    });
    await expect(unknown).rejects.toMatchObject({ status: 400, param: 'input[0].id' });
  });
});

describe('truncation', () => {
  const turns = Array.from({ length: 20 }, (_, i) => ({
    role: i % 2 === 0 ? ('user' as const) : ('assistant' as const),
    content: `${i}`.padStart(10, '.'),
  }));
  const input = [...turns, { role: 'user' as const, content: 'last' }];

  test('auto leaves out the beginning, from a user on', async () => {
    const engine = saying('x');
    const { client } = await startTestServer(engine);
    await client.responses.create({
      model: MODEL,
      input,
      instructions: 'I',
      truncation: 'auto',
      max_output_tokens: 20,
    });
    const prompt = promptOf(engine);
    expect(prompt).toMatch(/^<system>I<user>\.+\d+<assistant>/);
    expect(prompt).toMatch(/<user>last<assistant>$/);
    expect(prompt.length).toBeLessThanOrEqual(236);
    // One turn more would not fit.
    expect(prompt.length).toBeGreaterThan(236 - 37);
  });

  test('disabled it is a 400, and auto too when the last message is too long', async () => {
    const { client } = await startTestServer(saying('x'));
    const refused = { status: 400, code: 'context_length_exceeded', param: 'input' };
    await expect(client.responses.create({ model: MODEL, input })).rejects.toMatchObject(refused);
    const long = client.responses.create({
      model: MODEL,
      input: [...turns, { role: 'user', content: 'x'.repeat(256) }],
      truncation: 'auto',
    });
    await expect(long).rejects.toMatchObject(refused);
  });
});

describe('log-probabilities', () => {
  const asked = {
    model: MODEL,
    input: 'x',
    include: ['message.output_text.logprobs' as const],
    top_logprobs: 2,
  };
  const partOf = (response: OpenAI.Responses.Response): OpenAI.Responses.ResponseOutputText => {
    const [item] = response.output;
    return (item?.type === 'message' ? item.content[0] : null) as never;
  };

  test('are those of chats, whole and streamed', async () => {
    const { client } = await startTestServer(saying('aé!'));
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: [{ role: 'user', content: 'x' }],
      logprobs: true,
      top_logprobs: 2,
    });
    const expected = choices[0]?.logprobs?.content ?? [];
    expect(expected).toHaveLength(4);
    const whole = await client.responses.create(asked);
    expect(whole.top_logprobs).toBe(2);
    expect(partOf(whole).logprobs).toEqual(expected);
    const stream = client.responses.stream(asked);
    const streamed: object[] = [];
    stream.on('response.output_text.delta', ({ logprobs }) => streamed.push(...logprobs));
    expect(partOf(await stream.finalResponse()).logprobs).toEqual(expected);
    expect(streamed).toEqual(expected);
  });

  test('are not there unless asked for', async () => {
    const engine = saying('a');
    const { client } = await startTestServer(engine);
    expect(partOf(await client.responses.create({ model: MODEL, input: 'x' })).logprobs).toEqual(
      [],
    );
    expect(engine.submitted[0]?.request.logprobs).toBeNull();
  });
});

test('input tokens are counted without generating', async () => {
  const engine = saying('x');
  const { client } = await startTestServer(engine);
  const count = await client.responses.inputTokens.count({ model: MODEL, input: 'Hi' });
  expect(count).toMatchObject({ object: 'response.input_tokens', input_tokens: 19 });
  expect(engine.submitted).toEqual([]);
});

test.each<[string, object, string, RegExp]>([
  ['no input', { input: undefined }, 'input', /missing/],
  ['empty items', { input: [] }, 'input', /1 items/],
  [
    'an unknown item',
    { input: [{ type: 'computer_call' }] },
    'input[0].type',
    /message.*item_reference/,
  ],
  [
    'half a call',
    { input: [{ type: 'function_call', name: 'f', call_id: 'c' }] },
    'input[0].arguments',
    /missing/,
  ],
  [
    'an image',
    { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:,' }] }] },
    'input[0].content[0]',
    /the model reads text, not images/,
  ],
  ['a role', { input: [{ role: 'tool', content: '' }] }, 'input[0].role', /one of user/],
  [
    'an output without its call',
    { input: [{ type: 'function_call_output', call_id: 'c', output: '' }] },
    'input',
    /call_id 'c'/,
  ],
  [
    'what the template refuses',
    {
      input: [
        { type: 'function_call', call_id: 'c', name: 'f', arguments: '' },
        { type: 'function_call_output', call_id: 'c', output: '' },
      ],
    },
    'input',
    /no tools here/,
  ],
  ['background', { background: true, store: false }, 'background', /store/],
  ['conversation', { conversation: 'conv_1' }, 'conversation', /not supported/],
  ['prompt', { prompt: { id: 'p' } }, 'prompt', /not supported/],
  ['max_output_tokens', { max_output_tokens: 0 }, 'max_output_tokens', />= 1/],
  ['more tokens than fit', { max_output_tokens: 300 }, 'input', /256/],
  ['metadata', { metadata: { a: 1 } }, 'metadata.a', /string/],
  ['verbosity', { text: { verbosity: 'chatty' } }, 'text.verbosity', /low, medium, high/],
  ['top_logprobs', { top_logprobs: 1 }, 'top_logprobs', /include/],
  ['stream_options', { stream_options: {} }, 'stream_options', /stream: true/],
  ['chat field', { messages: [] }, 'messages', /not supported/],
])('%s is a 400 that names the field', async (_, fields, param, message) => {
  const engine = saying('x');
  const { post } = await startTestServer(engine);
  const response = await post('/v1/responses', { input: 'x', ...fields });
  const { error } = (await response.json()) as { error: { message: string } };
  expect(error).toMatchObject({ param });
  expect(error.message).toMatch(message);
  expect(response.status).toBe(400);
  expect(engine.submitted).toEqual([]);
});

test('a response is private to the key that made it', async () => {
  const engine = saying('Hello');
  const { client, url } = await startTestServer(engine, { apiKeys: ['mine', 'theirs'] });
  const theirs = client.withOptions({ apiKey: 'theirs' });
  const made = await client.responses.create({ model: MODEL, input: 'Hi' });
  const [item] = made.output;
  const missing = { status: 404, message: expect.stringContaining('not found') as string };
  await expect(theirs.responses.retrieve(made.id)).rejects.toMatchObject(missing);
  await expect(theirs.responses.inputItems.list(made.id)).rejects.toMatchObject(missing);
  await expect(theirs.responses.cancel(made.id)).rejects.toMatchObject(missing);
  await expect(theirs.responses.delete(made.id)).rejects.toMatchObject(missing);
  await expect(
    theirs.responses.create({ model: MODEL, input: 'Go on', previous_response_id: made.id }),
  ).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found' });
  await expect(
    theirs.responses.create({
      model: MODEL,
      input: [{ type: 'item_reference', id: item?.id ?? '' }],
    }),
  ).rejects.toMatchObject({ status: 400 });
  const counting = { model: MODEL, input: 'Go on', previous_response_id: made.id };
  const counted = await fetch(`${url}/v1/responses/input_tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer theirs' },
    body: JSON.stringify(counting),
  });
  expect(counted.status).toBe(400);
  expect((await client.responses.retrieve(made.id)).id).toBe(made.id);
  await client.responses.create(counting);
  expect(engine.submitted).toHaveLength(2);
});

test('without keys on the server, whatever token a client sends is the same', async () => {
  const { client } = await startTestServer(saying('Hello'));
  const made = await client.responses.create({ model: MODEL, input: 'Hi' });
  const other = client.withOptions({ apiKey: 'another' });
  expect((await other.responses.retrieve(made.id)).id).toBe(made.id);
});
