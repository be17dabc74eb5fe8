import { afterEach, describe, expect, it } from 'vitest';
import { bytesOf } from '../support/byte-model.js';
import { ScriptedEngine } from '../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../support/test-server.js';

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
      'structured_outputs.structural_tag',
      'not supported',
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

  it('answers a schema that is nested beyond measure', async () => {
    const server = await startTestServer(engine());
    const deep = '{"items":'.repeat(20_000) + 'true' + '}'.repeat(20_000);
    const body = JSON.stringify(chat({})).replace(/\}$/, `,"guided_json":${deep}}`);
    const response = await server.post('/v1/chat/completions', body);
    expect(response.status).toBe(400);
  });
});
