import { afterEach, describe, expect, test } from 'vitest';
import { MAX_NESTING, tooDeepPath } from '../../../engine/nesting.js';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';
import { toolModel } from '../../support/tool-model.js';

afterEach(stopTestServers);

/** So many levels of objects, as a text: writing it from a value has a limit, too. */
const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

const start = () =>
  startTestServer(new ScriptedEngine(() => ({ steps: [bytesOf('a')], finish: 'length' })), {
    model: toolModel,
  });

const HI = '"messages":[{"role":"user","content":"Hi"}]';
const CHAT = '/v1/chat/completions';
const RESPONSES = '/v1/responses';
/** A schema, or arguments, whose depth counts from there. */
const tool = (levels: number): string =>
  `{"type":"function","function":{"name":"f","parameters":{"type":"object","x-y":${deep(levels)}}}}`;
const call = (levels: number): string =>
  `{"type":"function","function":{"name":"f","arguments":${JSON.stringify(deep(levels))}}}`;

describe('values that are nested too deeply are refused before a template or a grammar sees them', () => {
  test.each<[string, string, (levels: number) => string]>([
    ['chat_template_kwargs', CHAT, (n) => `{${HI},"chat_template_kwargs":{"v":${deep(n)}}}`],
    ['tools[0].function.parameters', CHAT, (n) => `{${HI},"tools":[${tool(n)}]}`],
    ['tools[0].function.parameters', '/tokenize', (n) => `{${HI},"tools":[${tool(n)}]}`],
    [
      'messages[1].tool_calls[0].function.arguments',
      CHAT,
      (n) =>
        `{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[${call(n)}]}]}`,
    ],
    [
      'response_format.json_schema.schema',
      CHAT,
      (n) =>
        `{${HI},"response_format":{"type":"json_schema","json_schema":{"schema":{"const":${deep(n)}}}}}`,
    ],
    ['guided_json', CHAT, (n) => `{${HI},"guided_json":{"const":${deep(n)}}}`],
    ['guided_json', CHAT, (n) => `{${HI},"guided_json":${JSON.stringify(`{"const":${deep(n)}}`)}}`],
    [
      'structured_outputs.json',
      CHAT,
      (n) => `{${HI},"structured_outputs":{"json":{"const":${deep(n)}}}}`,
    ],
    ['anything', CHAT, (n) => `{${HI},"anything":${deep(n)}}`],
    [
      'text.format',
      RESPONSES,
      (n) => `{"input":"Hi","text":{"format":{"type":"text","a":${deep(n)}}}}`,
    ],
    [
      'tools[0].parameters',
      RESPONSES,
      (n) =>
        `{"input":"Hi","tool_choice":"none","tools":[{"type":"function","name":"f","parameters":{"a":${deep(n)}}}]}`,
    ],
    [
      'input',
      RESPONSES,
      (n) =>
        `{"input":[{"role":"user","content":"Hi"},{"type":"function_call","call_id":"c","name":"f","arguments":${JSON.stringify(deep(n))}}]}`,
    ],
  ])('%s of %s', async (param, path, bodyOf) => {
    const { post, log } = await start();
    for (const levels of [MAX_NESTING + 1, 2000, 60_000]) {
      const response = await post(path, bodyOf(levels));
      const { error } = (await response.json()) as { error: { message: string; param: string } };
      expect([levels, response.status, error.param]).toEqual([levels, 400, param]);
      expect(error.message).toMatch(
        new RegExp(`nested too deeply: at most ${MAX_NESTING} levels are allowed$`),
      );
    }
    // With all that is around it, still below the limit: whatever it is, it is not too deep.
    const near = await post(path, bodyOf(MAX_NESTING - 20));
    expect(await near.text()).not.toMatch(/nested|call stack/);
    expect(near.status).toBeLessThan(500);
    expect(log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});

test('the path leads to the place', () => {
  let value: unknown = 1;
  for (let level = 0; level < MAX_NESTING; level++) value = { k: value };
  expect(tooDeepPath(value)).toBeNull();
  expect(tooDeepPath({ x: [0, {}, { y: value }] })?.slice(0, 4)).toEqual(['x', '2', 'y', 'k']);
  expect(tooDeepPath('text')).toBeNull();
});
