import fc from 'fast-check';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { afterEach, expect, test } from 'vitest';
import { bytesOf } from '../../support/byte-model.js';
import { ScriptedEngine } from '../../support/scripted-engine.js';
import { startTestServer, stopTestServers } from '../../support/test-server.js';
import { toolModel } from '../../support/tool-model.js';

afterEach(stopTestServers);

const engine = (): ScriptedEngine =>
  new ScriptedEngine(({ pooling }) =>
    pooling === null
      ? { steps: [bytesOf('ab')], finish: 'length' }
      : { steps: [[]], finish: 'stop', embedding: new Float32Array(8).fill(1) },
  );

/** A field that is often right, sometimes of another type, and sometimes not there. */
const maybe = (...values: readonly unknown[]): fc.Arbitrary<unknown> =>
  fc.constantFrom(undefined, null, 5, '', [], ...values);

const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } };
const message = fc.record({
  role: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom('system', 'user', 'assistant', 'tool', 'function') },
    { weight: 3, arbitrary: fc.constantFrom('developer', 'narrator', '', 'r'.repeat(65)) },
    { weight: 1, arbitrary: fc.constantFrom(undefined, null, 7) },
  ),
  content: maybe('x', 'y', [{ type: 'text', text: 'z' }], [{ type: 'refusal', refusal: 'no' }], {}),
  name: fc.constantFrom(undefined, undefined, 'n', null, 3),
  tool_calls: fc.constantFrom(undefined, undefined, null, [call], [], [{ function: {} }]),
  tool_call_id: fc.constantFrom(undefined, undefined, 'c', 1),
  reasoning: fc.constantFrom(undefined, undefined, 'r', null),
  refusal: fc.constantFrom(undefined, undefined, 'no', null),
});
const messages = fc.oneof(
  { weight: 8, arbitrary: fc.array(message, { maxLength: 2 }) },
  { weight: 1, arbitrary: maybe() },
);

const block = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constantFrom('text', 'text', 'text', 'text', 'text', 'video', 5),
      text: fc.constantFrom('x', 'x', 'x', 'x', 'x', 'y', '', undefined, null, 5),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom({ type: 'redacted_thinking', data: 'x' }, { type: 'thinking' }),
  },
);
const turn = fc.record({
  role: fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom('user', 'assistant', 'system') },
    { weight: 1, arbitrary: fc.constantFrom('tool', undefined, 7) },
  ),
  content: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('x', 'y', 'z') },
    { weight: 1, arbitrary: maybe('x') },
    { weight: 3, arbitrary: fc.array(block, { maxLength: 2 }) },
  ),
});

const BODIES: Readonly<Record<string, fc.Arbitrary<object>>> = {
  '/v1/chat/completions': fc.record({ messages }),
  '/v1/messages': fc.record({
    messages: fc.array(turn, { maxLength: 2 }),
    max_tokens: fc.constantFrom(5, 5, 5, 5, 5, 5, 5, 0, '5', undefined),
    system: fc.constantFrom(undefined, undefined, null, 's', [{ type: 'text', text: 's' }], 5),
  }),
  '/tokenize': fc.record({
    prompt: maybe('x', 'y'),
    messages: fc.oneof(messages, fc.constant(undefined)),
    add_special_tokens: fc.constantFrom(undefined, true, 'yes'),
  }),
  '/v1/embeddings': fc.record({
    input: maybe('x', ['x', 'y'], ['x', ''], [97, 98], [[97], [98]], [[97], []], ['x', 97], [-1]),
    encoding_format: fc.constantFrom(undefined, undefined, 'float', 'base64', 'hex'),
  }),
};

/** What is refused for what it means, and no schema can say. */
const MEANINGS =
  /leaves out messages of this role|chat template (refuses|cannot write|does not show)|no text in any/;

test.each(Object.keys(BODIES))('%s takes a body exactly if its schema does', async (path) => {
  const server = await startTestServer(engine(), { model: toolModel });
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
    paths: Record<
      string,
      { post: { requestBody: { content: Record<string, { schema: TSchema }> } } }
    >;
  };
  const schema = Compile(paths[path].post.requestBody.content['application/json'].schema);
  let [taken, refused] = [0, 0];
  const property = fc.asyncProperty(BODIES[path], async (drawn) => {
    const body: unknown = JSON.parse(JSON.stringify(drawn));
    const answer = await server.post(path, body);
    const text = await answer.text();
    const isMeant = answer.status === 400 && MEANINGS.test(text);
    if (!isMeant) {
      expect([body, answer.status, text]).toEqual([body, schema.Check(body) ? 200 : 400, text]);
    }
    if (answer.status === 200) taken += 1;
    else refused += 1;
  });
  await fc.assert(property, { numRuns: 150, seed: 3, endOnFailure: true });
  expect(Math.min(taken, refused)).toBeGreaterThan(10);
});
