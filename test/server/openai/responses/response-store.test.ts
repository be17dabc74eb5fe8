import { expect, test } from 'vitest';
import {
  type Item,
  type OutputItem,
  outputText,
} from '../../../../server/openai/responses/items.js';
import {
  type ResponseObject,
  responseObject,
} from '../../../../server/openai/responses/response-object.js';
import {
  type OwnResponses,
  ResponseStore,
} from '../../../../server/openai/responses/response-store.js';

const message = (id: string, text: string): Item => ({
  id,
  type: 'message',
  status: 'completed',
  role: 'user',
  content: [{ type: 'input_text', text }],
});

const response = (id: string, output: OutputItem[] = []): ResponseObject =>
  responseObject({ id } as Parameters<typeof responseObject>[0], {
    status: 'completed',
    output,
    usage: null,
    error: null,
    completed_at: 1,
  });

interface Kept extends OwnResponses {
  readonly store: ResponseStore;
}

/** A store, and one client of it. */
function store(limits: { maxResponses?: number; maxBytes?: number }): Kept {
  const made = new ResponseStore({ maxResponses: 100, maxBytes: 1e6, ...limits });
  return { ...made.of('key'), store: made };
}

test('the response that was used longest ago goes first', () => {
  const kept = store({ maxResponses: 2 });
  kept.put({ response: response('a'), input: [] });
  kept.put({ response: response('b'), input: [] });
  kept.get('a');
  kept.put({ response: response('c'), input: [] });
  expect(['a', 'b', 'c'].map((id) => kept.get(id)?.response.id)).toEqual(['a', undefined, 'c']);
});

test('the bytes stay below their limit, and come back', () => {
  const kept = store({ maxBytes: 10_000 });
  for (let i = 0; i < 50; i++) {
    kept.put({ response: response(`${i}`), input: [message(`m${i}`, 'x'.repeat(i * 20))] });
    expect(kept.store.bytes).toBeLessThanOrEqual(10_000);
  }
  expect(kept.store.size).toBeGreaterThan(1);
  for (let i = 0; i < 50; i++) kept.delete(`${i}`);
  expect([kept.store.size, kept.store.bytes]).toEqual([0, 0]);
});

test('one that is too large is not kept, and costs no other its place', () => {
  const kept = store({ maxBytes: 10_000 });
  kept.put({ response: response('a'), input: [] });
  kept.put({ response: response('b'), input: [message('m', 'x'.repeat(10_000))] });
  expect([kept.get('a')?.response.id, kept.get('b')]).toEqual(['a', undefined]);
});

const made: OutputItem = {
  id: 'made',
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [outputText('x')],
};

test('an item of the server is known as long as a conversation that has it is kept', () => {
  const kept = store({});
  kept.put({ response: response('a', [made]), input: [] });
  kept.put({ response: response('b'), input: [made] });
  expect(kept.delete('a')).toBe(true);
  expect(kept.item('made')).toBe(made);
  expect(kept.delete('b')).toBe(true);
  expect(kept.item('made')).toBeUndefined();
  expect(kept.delete('b')).toBe(false);
});

test('an item of a client is never found, nor does it hide one of the server', () => {
  const kept = store({});
  kept.put({ response: response('a', [made]), input: [] });
  kept.put({ response: response('b'), input: [message('mine', 'x'), message('made', 'y')] });
  expect(kept.item('mine')).toBeUndefined();
  expect(kept.item('made')).toBe(made);
  kept.delete('b');
  expect(kept.item('made')).toBe(made);
});

test('what one client keeps is not there for another', () => {
  const kept = store({});
  const other = kept.store.of('another key');
  kept.put({ response: response('a', [made]), input: [] });
  expect([other.get('a'), other.item('made'), other.delete('a')]).toEqual([
    undefined,
    undefined,
    false,
  ]);
  expect([kept.get('a')?.response.id, kept.item('made')]).toEqual(['a', made]);
});
