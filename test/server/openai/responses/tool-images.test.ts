import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ScriptedEngine } from '../../../support/scripted-engine.js';
import { startTestServer, stopTestServers, type TestServer } from '../../../support/test-server.js';
import { dataUrl, loadVision, type VisionEngine } from '../../../support/vision-fixtures.js';

let vision: VisionEngine;
let server: TestServer;
let engine: ScriptedEngine;
beforeAll(async () => {
  vision = await loadVision('smolvlm');
  const { vocabSize, maxModelLength } = vision.info;
  engine = new ScriptedEngine(() => ({ steps: [[5]], finish: 'length' }), {
    vocabSize,
    maxModelLength,
  });
  const { served: model, prompts } = vision;
  server = await startTestServer(engine, { model, prompts });
});
afterAll(async () => {
  await stopTestServers();
  await vision.close();
});

const call_id = 'c1';
const image = {
  type: 'input_image' as const,
  image_url: dataUrl('wide.png'),
  detail: 'auto' as const,
};
const text = { type: 'input_text' as const, text: 'The screen:' };
const CALL = { type: 'function_call' as const, call_id, name: 'look', arguments: '{}' };
const CUSTOM = { type: 'custom_tool_call' as const, call_id, name: 'look', input: 'x' };
const input = (output: object[], call: object = CALL): never =>
  [
    { role: 'user', content: 'Look' },
    call,
    { type: `${(call as { type: string }).type}_output`, call_id, output },
  ] as never;

describe('images in outputs of tools', () => {
  test.each([
    ['a function', CALL],
    ['a custom tool', CUSTOM],
  ])('of %s are read where they stand', async (_, call) => {
    const asked = { model: 'smolvlm', input: input([text, image], call) };
    const response = await server.client.responses.create(asked);
    const { promptTokenIds, images = [] } = engine.submitted.at(-1)?.request ?? {};
    const parts = [
      { type: 'text' as const, text: text.text },
      { type: 'image_url' as const, image_url: image.image_url },
    ];
    const alone = await vision.ask([{ role: 'user', content: parts }]);
    const rowsOf = (of: typeof images): number[] => of.map(({ start, end }) => end - start);
    expect(images.map(({ key }) => key)).toEqual(alone.images?.map(({ key }) => key));
    expect(rowsOf(images)).toEqual(rowsOf(alone.images ?? []));
    const shown = vision.served.tokenizer.decode(promptTokenIds ?? [], {
      skipSpecialTokens: false,
    });
    expect(shown.indexOf('The screen:')).toBeGreaterThan(shown.indexOf('Look'));
    // It is kept as it was sent.
    const { data } = await server.client.responses.inputItems.list(response.id);
    expect(JSON.stringify(data)).toContain('"input_image"');
  });

  test.each<[string, object[], string, RegExp]>([
    [
      'no picture',
      [{ ...image, image_url: 'data:image/png;base64,AAAA' }],
      'input[2].output[0]',
      /cannot be decoded/,
    ],
    [
      'a file',
      [text, { type: 'input_file', file_id: 'f' }],
      'input[2].output[1]',
      /files are not read/,
    ],
    ['a sound', [{ type: 'input_audio' }], 'input[2].output[0].type', /input_text/],
  ])('that are %s are refused', async (_, output, param, message) => {
    const response = await server.post('/v1/responses', { input: input(output) });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect([error.param, error.message]).toEqual([param, expect.stringMatching(message) as string]);
  });
});

test('a model of text refuses them by their place, and reads texts', async () => {
  const own = new ScriptedEngine(() => ({ steps: [[65]], finish: 'length' }));
  const { post } = await startTestServer(own, { model: { ...vision.served } });
  const response = await post('/v1/responses', { input: input([text, image]) });
  expect(await response.json()).toMatchObject({
    error: {
      param: 'input[2].output[1]',
      message: 'input[2].output[1]: the model reads text, not images',
    },
  });
  expect((await post('/v1/responses', { input: input([text, text]) })).status).toBe(200);
});
