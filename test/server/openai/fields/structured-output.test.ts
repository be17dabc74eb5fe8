import { afterEach, describe, expect, it } from 'vitest';
import { OctavoError } from '../../../../engine/errors.js';
import { bytesOf } from '../../../support/byte-model.js';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../../support/test-server.js';

afterEach(stopTestServers);

const engine = (): ScriptedEngine =>
  new ScriptedEngine(() => ({ steps: [bytesOf('{}')], finish: 'stop' }));

const chat = (more: object): object => ({
  model: 'byte-model',
  messages: [{ role: 'user', content: 'hi' }],
  ...more,
});

const SCHEMA = { type: 'object', properties: { a: { type: 'integer' } } };
const source = JSON.stringify(SCHEMA);

describe('fields of structured output', () => {
  it.each([
    [{ response_format: { type: 'text' } }, null],
    [{ response_format: null, guided_json: null }, null],
    [{ response_format: { type: 'json_object' } }, { kind: 'json-object' }],
    [
      {
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'x', strict: true, schema: SCHEMA },
        },
      },
      { kind: 'json-schema', source },
    ],
    [{ guided_json: SCHEMA }, { kind: 'json-schema', source }],
    [{ guided_json: source }, { kind: 'json-schema', source }],
    [{ guided_regex: 'a+' }, { kind: 'regex', source: 'a+' }],
    [{ guided_choice: ['a', 'b'] }, { kind: 'choice', choices: ['a', 'b'] }],
    [{ guided_grammar: 'root ::= "a"' }, { kind: 'ebnf', source: 'root ::= "a"' }],
    [{ structured_outputs: { json: SCHEMA } }, { kind: 'json-schema', source }],
    [{ structured_outputs: { regex: 'a+' } }, { kind: 'regex', source: 'a+' }],
    [{ structured_outputs: { choice: ['a'] } }, { kind: 'choice', choices: ['a'] }],
    [{ structured_outputs: { grammar: 'root ::= "a"' } }, { kind: 'ebnf', source: 'root ::= "a"' }],
    [{ structured_outputs: { json_object: true } }, { kind: 'json-object' }],
    [{ response_format: { type: 'json_object', schema: SCHEMA } }, { kind: 'json-schema', source }],
    [
      {
        response_format: { type: 'json_object' },
        structured_outputs: { disable_any_whitespace: true },
      },
      { kind: 'json-object', compact: true },
    ],
    [
      { structured_outputs: { json: SCHEMA, disable_any_whitespace: true } },
      { kind: 'json-schema', source, compact: true },
    ],
    [
      { guided_json: SCHEMA, structured_outputs: { disable_any_whitespace: false } },
      { kind: 'json-schema', source },
    ],
  ])('%j asks the engine for %j', async (fields, grammar) => {
    const scripted = engine();
    const server = await startTestServer(scripted);
    const response = await server.post(
      '/v1/chat/completions',
      chat({ ...fields, ignore_eos: true }),
    );
    expect(response.status).toBe(200);
    expect(scripted.submitted[0].request).toMatchObject({
      grammar,
      stopTokenIds: [],
      eosTokenIds: [256],
    });
    const completion = await server.post('/v1/completions', { prompt: 'x', ...fields });
    expect(completion.status).toBe(200);
    expect(scripted.submitted[1].request.grammar).toEqual(grammar);
  });

  it.each([
    [
      { response_format: { type: 'json_schema' } },
      'response_format.json_schema.schema',
      'missing required field',
    ],
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'x' } } },
      'response_format.json_schema.schema',
      'missing',
    ],
    [{ response_format: { type: 'xml' } }, 'response_format.type', 'must be'],
    [
      {
        response_format: {
          type: 'json_schema',
          json_schema: { schema: { properties: { a: { not: {} } } } },
        },
      },
      'response_format.json_schema.schema',
      'the JSON schema at /properties/a: the keyword "not"',
    ],
    [
      { response_format: { type: 'json_object', schema: { not: {} } } },
      'response_format.schema',
      'response_format.schema: the JSON schema: the keyword "not"',
    ],
    [
      { response_format: { type: 'text', schema: SCHEMA } },
      'response_format.schema',
      'allowed only with type json_object',
    ],
    [{ guided_regex: 'a'.repeat(400_000) }, 'guided_regex', 'too large'],
    [{ guided_regex: 'a'.repeat(500_001) }, 'guided_regex', 'has 500001 characters; at most'],
    [{ guided_json: '{' }, 'guided_json', 'not valid JSON'],
    [{ guided_json: '[]' }, 'guided_json', 'must be an object'],
    [{ guided_regex: '(?=a)' }, 'guided_regex', 'look-around'],
    [{ guided_choice: [] }, 'guided_choice', 'must'],
    [{ guided_grammar: 'root ::= x' }, 'guided_grammar', 'x is not defined (line 1, column 10)'],
    [
      { guided_regex: 'a', response_format: { type: 'json_object' } },
      'guided_regex',
      'cannot be used together',
    ],
    [
      { structured_outputs: { regex: 'a', choice: ['b'] } },
      'structured_outputs.choice',
      'cannot be used together',
    ],
    [
      { structured_outputs: { structural_tag: '{}' } },
      'structured_outputs.structural_tag.type',
      'must be structural_tag',
    ],
    [{ guided_whitespace_pattern: ' ' }, 'guided_whitespace_pattern', 'not supported'],
  ])('%j is a 400', async (fields, param, message) => {
    const scripted = engine();
    const server = await startTestServer(scripted);
    const response = await server.post('/v1/chat/completions', chat({ ...fields, stream: true }));
    const body = (await response.json()) as { error: { param: string; message: string } };
    expect([response.status, body.error.param]).toEqual([400, param]);
    expect(body.error.message).toContain(message);
    expect(scripted.submitted).toEqual([]);
  });

  it('is compact by default where the server was started so', async () => {
    const scripted = engine();
    const settings = { disableAnyWhitespace: true };
    const server = await startTestServer(scripted, { settings });
    for (const own of [null, true, false]) {
      const response = await server.post(
        '/v1/chat/completions',
        chat({ guided_json: SCHEMA, structured_outputs: { disable_any_whitespace: own } }),
      );
      expect(response.status).toBe(200);
    }
    expect(scripted.submitted.map(({ request }) => request.grammar)).toEqual([
      { kind: 'json-schema', source, compact: true },
      { kind: 'json-schema', source, compact: true },
      { kind: 'json-schema', source },
    ]);
  });

  it('knows whose the threads are', async () => {
    const scripted = engine();
    const server = await startTestServer(scripted, { apiKeys: ['one', 'two'] });
    for (const key of ['one', 'two', 'one']) {
      const authorization = `Bearer ${key}`;
      await server.post('/v1/chat/completions', chat({ guided_regex: 'a' }), { authorization });
    }
    const clients = scripted.submitted.map(({ request }) => request.client);
    expect(clients[0]).toBe(clients[2]);
    expect(new Set(clients).size).toBe(2);
    expect(clients.join()).not.toMatch(/one|two/);
  });

  it('has a status for what only the engine finds out, streamed too', async () => {
    const error = new OctavoError('invalid_request', 'the grammar cannot be compiled: so it is');
    const scripted = new ScriptedEngine(() => ({ steps: [], finish: null, error }));
    const server = await startTestServer(scripted);
    const bodies = {
      '/v1/chat/completions': chat({}),
      '/v1/completions': { prompt: 'x' },
      '/v1/responses': { input: 'x' },
    };
    for (const [path, body] of Object.entries(bodies)) {
      const response = await server.post(path, { ...body, guided_regex: 'a', stream: true });
      expect([path, response.status]).toEqual([path, 400]);
      expect(await response.text()).toContain('so it is');
    }
  });

  it('answers a schema that is nested beyond measure', async () => {
    const server = await startTestServer(engine());
    const deep = '{"items":'.repeat(20_000) + 'true' + '}'.repeat(20_000);
    const body = JSON.stringify(chat({})).replace(/\}$/, `,"guided_json":${deep}}`);
    const response = await server.post('/v1/chat/completions', body);
    expect(response.status).toBe(400);
  });
});
