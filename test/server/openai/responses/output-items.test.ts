import { expect, test } from 'vitest';
import { OutputItems } from '../../../../server/openai/responses/output-items.js';

test('reasoning, text and calls become items of their own, one after the other', () => {
  const items = new OutputItems();
  const events = [
    ...items.reasoning('hm'),
    ...items.reasoning('...'),
    ...items.text('so'),
    ...items.beginCall('call_1', 'f'),
    ...items.callArguments('{"a":'),
    ...items.callArguments('1}'),
    ...items.beginCall('call_2', 'g'),
    ...items.end('completed'),
  ];
  expect(
    events.map(({ type, output_index: index }) => [type.replace('response.', ''), index]),
  ).toEqual([
    ['output_item.added', 0],
    ['content_part.added', 0],
    ['reasoning_text.delta', 0],
    ['reasoning_text.delta', 0],
    ['reasoning_text.done', 0],
    ['content_part.done', 0],
    ['output_item.done', 0],
    ['output_item.added', 1],
    ['content_part.added', 1],
    ['output_text.delta', 1],
    ['output_text.done', 1],
    ['content_part.done', 1],
    ['output_item.done', 1],
    ['output_item.added', 2],
    ['function_call_arguments.delta', 2],
    ['function_call_arguments.delta', 2],
    ['function_call_arguments.done', 2],
    ['output_item.done', 2],
    ['output_item.added', 3],
    ['function_call_arguments.done', 3],
    ['output_item.done', 3],
  ]);
  expect(items.items).toMatchObject([
    {
      type: 'reasoning',
      status: 'completed',
      content: [{ type: 'reasoning_text', text: 'hm...' }],
    },
    { type: 'message', status: 'completed', content: [{ type: 'output_text', text: 'so' }] },
    { type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{"a":1}' },
    { type: 'function_call', call_id: 'call_2', name: 'g', arguments: '' },
  ]);
});

test('only the item that was open is incomplete', () => {
  const items = new OutputItems();
  items.text('a');
  items.beginCall('call_1', 'f');
  items.end('incomplete');
  expect(items.items.map(({ status }) => status)).toEqual(['completed', 'incomplete']);
});

test('arguments without a call are a mistake', () => {
  expect(() => new OutputItems().callArguments('{')).toThrow(/no call/);
});
