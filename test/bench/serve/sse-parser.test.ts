import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SseParser } from '../../../bench/serve/sse-parser.js';

/** Events as a client that sees the whole stream at once would read them. */
const STREAM =
  '\uFEFF: ping\n\ndata: {"a":"Grüße, 世界 🦉"}\n\nevent: x\r\nid: 7\r\ndata:no space\r\ndata: more\r\n\r\n' +
  'data: one\rdata:  two\r\rdata\n\ndatabase: no\nretry: 1\n\n\n\ndata: [DONE]\n\ndata: never finished';
const EVENTS = ['{"a":"Grüße, 世界 🦉"}', 'no space\nmore', 'one\n two', '', '[DONE]'];

test('events are the same wherever the bytes are cut', () => {
  const bytes = Buffer.from(STREAM);
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(bytes.length)), (cuts) => {
      const parser = new SseParser();
      const borders = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const events = borders
        .slice(1)
        .flatMap((end, i) => parser.push(bytes.subarray(borders[i], end)));
      expect(events).toEqual(EVENTS);
    }),
  );
});

test('byte by byte', () => {
  const parser = new SseParser();
  expect([...Buffer.from(STREAM)].flatMap((byte) => parser.push(Uint8Array.of(byte)))).toEqual(
    EVENTS,
  );
});
