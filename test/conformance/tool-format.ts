import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OfferedTool, ToolFormat } from '../../engine/tools/tool-format.js';
import { cutAt, messageOf, type ParsedMessage, parsePieces } from '../support/tool-events.js';

const offered = (name: string, properties: object): OfferedTool => ({
  name,
  parameters: { type: 'object', properties },
  strict: false,
});

export const TOOLS: readonly OfferedTool[] = [
  offered('get_weather', { city: { type: 'string' }, days: { type: 'integer' } }),
  offered('get_time', { zone: { type: 'object' } }),
  offered('run-code', { code: { type: 'string' } }),
];

export const readWhole = (format: ToolFormat, text: string): ParsedMessage =>
  messageOf(parsePieces(format.createParser(TOOLS), [text]));

/** A text, and what it says: content, and calls with their arguments. */
export type ToolCase = [what: string, text: string, content: string, calls: [string, string][]];

/** Texts that are content from end to end, in every format. */
const PLAIN: string[] = [
  '',
  ' \n',
  'The capital of France is Paris.\n',
  'a < b, and [x] or {y}',
  '{"name": "Tom", "age": 7}',
  '{"name": "nobody", "parameters": {"x": {}}',
  '{"name": 5, "arguments": {}}',
  '{"colour": "blue"}',
  '{}',
  '[]',
  '[print(1), get_nothing(a=2)]',
  'Grüße 🐙 \u0000 \uFFFD',
];

/** What every format of tool calls holds, whatever models write. */
export function describeToolFormat(format: ToolFormat, cases: readonly ToolCase[]): void {
  describe(`calls in the form ${format.name}`, () => {
    test.each(cases)('%s', (_, text, content, calls) => {
      expect(readWhole(format, text)).toEqual({ content, calls });
    });

    test.each(PLAIN)('%j is content', (text) => {
      expect(readWhole(format, text)).toEqual({ content: text, calls: [] });
    });

    test('a cut anywhere changes nothing', () => {
      for (const [, text] of cases) {
        const expected = parsePieces(format.createParser(TOOLS), [text]);
        const characters = parsePieces(format.createParser(TOOLS), text.split(''));
        expect(characters).toEqual(expected);
        for (let place = 0; place <= text.length; place++) {
          const pieces = [text.slice(0, place), text.slice(place)];
          expect(parsePieces(format.createParser(TOOLS), pieces)).toEqual(expected);
        }
      }
    });

    test('whatever a model writes, cuts change nothing and events are in order', () => {
      const fragments = cases.flatMap(([, text]) => text.split(/(?<=[{}"\]>(=])|(?=[{}"[<)])/));
      const text = fc
        .array(fc.oneof(fc.constantFrom(...fragments, ...format.markers), fc.string()), {
          maxLength: 24,
        })
        .map((parts) => parts.join(''));
      fc.assert(
        fc.property(text, fc.array(fc.nat(500), { maxLength: 8 }), (written, places) => {
          const expected = parsePieces(format.createParser(TOOLS), [written]);
          const cut = parsePieces(format.createParser(TOOLS), cutAt(written, places));
          expect(cut).toEqual(expected);
          const { content, calls } = messageOf(expected);
          if (calls.length === 0) expect(content).toBe(written);
        }),
        { numRuns: 500, seed: 1 },
      );
    });
  });
}
