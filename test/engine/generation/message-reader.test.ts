import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type MessageEvent,
  type MessageParsers,
  MessageReader,
  NO_PARSERS,
} from '../../../engine/generation/message-reader.js';
import { taggedReasoning } from '../../../engine/reasoning/tagged-reasoning.js';
import { HERMES } from '../../../engine/tools/hermes.js';
import { cutAt, joinEvents } from '../../support/tool-events.js';

const THINK = taggedReasoning('think', ['<think>', '</think>']);

const CALL = '<tool_call>{"name": "f", "arguments": {"a": "x"}}</tool_call>';

interface Options {
  readonly stop?: readonly string[];
  readonly parsers?: Partial<MessageParsers>;
}

function readerOf({ stop = [], parsers = {} }: Options): MessageReader {
  return new MessageReader({ stop, includeStop: false }, { ...NO_PARSERS, ...parsers });
}

const parsers = (): MessageParsers => ({
  think: THINK.createReader({ isOpen: false }),
  tools: HERMES.createParser([]),
  maxCalls: Infinity,
});

function read(reader: MessageReader, pieces: readonly string[]): MessageEvent[] {
  const events: MessageEvent[] = [];
  for (const piece of pieces) {
    reader.push(piece, true);
    events.push(...reader.take());
    if (reader.stopped) return joinEvents(events);
  }
  reader.flush('', true);
  return joinEvents([...events, ...reader.take()]);
}

const content = (text: string): MessageEvent => ({ kind: 'content', text });
const THE_CALL: MessageEvent[] = [
  { kind: 'call', name: 'f' },
  { kind: 'arguments', text: '{"a": "x"}' },
  { kind: 'end' },
];

describe('stop strings', () => {
  test('end the content', () => {
    const reader = readerOf({ stop: ['END'] });
    expect(read(reader, ['abE', 'ND', 'more'])).toEqual([content('ab')]);
    expect(reader.stopped).toBe(true);
  });

  test('are text before the least number of tokens', () => {
    const reader = readerOf({ stop: ['END'] });
    reader.push('aEND', false);
    reader.push('bEND', true);
    expect(reader.take()).toEqual([content('aENDb')]);
  });

  test('do not end reasoning or a call, and do not reach over one', () => {
    const stop = ['x', 'f', 'AB'];
    const reader = readerOf({ stop, parsers: parsers() });
    expect(read(reader, [`<think>x</think>A${CALL}BA${CALL}`, 'Cx', 'D'])).toEqual([
      { kind: 'reasoning', text: 'x' },
      content('A'),
      ...THE_CALL,
      content('BA'),
      ...THE_CALL,
      content('C'),
    ]);
    expect(reader.stopped).toBe(true);
  });

  test('cuts change nothing', () => {
    const part = fc.constantFrom(
      CALL,
      '<think>',
      '</think>',
      'A',
      'B',
      '\n',
      '<',
      CALL.slice(0, 30),
    );
    const text = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, fc.array(fc.nat(300), { maxLength: 6 }), (written, places) => {
        const options = (): Options => ({ stop: ['AB', 'B\n'], parsers: parsers() });
        const whole = read(readerOf(options()), [written]);
        expect(read(readerOf(options()), cutAt(written, places))).toEqual(whole);
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

test('the message ends behind the last call that is allowed', () => {
  const reader = readerOf({ parsers: { tools: HERMES.createParser([]), maxCalls: 1 } });
  expect(read(reader, [`a ${CALL}${CALL}b`])).toEqual([content('a'), ...THE_CALL]);
  expect(reader.stopped).toBe(true);
});

describe('reasoning is counted in tokens', () => {
  test.each<[string, boolean, string[], number]>([
    ['tags that are tokens', false, ['<think>', '\n', 'a', 'b', '</think>', '\n', 'c'], 5],
    ['tags of several tokens', false, ['\n', '<th', 'ink>', 'a', '</', 'think', '>', 'c'], 7],
    ['a tag in a token with the answer', true, ['a', 'b</think>c', 'd'], 2],
    ['all in one token', false, ['<think>a</think>b'], 1],
    ['opened by the prompt, never closed', true, ['a', '', 'b'], 3],
    ['none', false, [' ', '<th', 'e'], 0],
  ])('%s', (_, open, pieces, tokens) => {
    const reader = readerOf({ parsers: { think: THINK.createReader({ isOpen: open }) } });
    read(reader, pieces);
    expect(reader.reasoningTokens).toBe(tokens);
  });
});
