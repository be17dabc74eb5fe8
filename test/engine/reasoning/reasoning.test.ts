import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  opensThinking,
  ThinkParser,
  type ThinkPiece,
} from '../../../engine/reasoning/think-parser.js';
import { cutAt, joinEvents } from '../../support/tool-events.js';

function parse(pieces: readonly string[], open = false): ThinkPiece[] {
  const parser = new ThinkParser({ open });
  return joinEvents([...pieces.flatMap((piece) => parser.push(piece)), ...parser.flush()]);
}

const thought = (text: string): ThinkPiece => ({ kind: 'reasoning', text });
const said = (text: string): ThinkPiece => ({ kind: 'content', text });

describe('<think>', () => {
  test.each<[string, string, boolean, ThinkPiece[]]>([
    [
      'Qwen 3',
      '<think>\nTwo and two.\nFour.\n</think>\n\nIt is 4.\n',
      false,
      [thought('Two and two.\nFour.'), said('It is 4.\n')],
    ],
    [
      'DeepSeek R1: the prompt has opened it',
      'Hm < 4.\n</think>\n\n4',
      true,
      [thought('Hm < 4.'), said('4')],
    ],
    ['nothing thought', '<think>\n\n</think>\n\nYes.', false, [said('Yes.')]],
    [
      'no thinking',
      ' Yes: <think> is a tag, </think> too.',
      false,
      [said(' Yes: <think> is a tag, </think> too.')],
    ],
    ['cut off while thinking', '<think>\nTwo </thi', false, [thought('Two </thi')]],
    ['cut off in the tag', '\n<thi', false, [said('\n<thi')]],
    ['never closed', 'Two', true, [thought('Two')]],
    [
      'a second block is text',
      '<think>a</think>b<think>c</think>',
      false,
      [thought('a'), said('b<think>c</think>')],
    ],
    ['nothing', '', true, []],
  ])('%s', (_, text, open, expected) => {
    expect(parse([text], open)).toEqual(expected);
    for (let place = 0; place <= text.length; place++) {
      expect(parse([text.slice(0, place), text.slice(place)], open)).toEqual(expected);
    }
  });

  test('cuts change nothing, whatever is written', () => {
    const part = fc.constantFrom('<think>', '</think>', '\n', ' ', '<', '</', 'a', 'think>', '🐙');
    const text = fc.array(part, { maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        text,
        fc.boolean(),
        fc.array(fc.nat(80), { maxLength: 6 }),
        (written, open, places) => {
          const whole = parse([written], open);
          expect(parse(cutAt(written, places), open)).toEqual(whole);
          if (open || /^\s*<think>/.test(written)) return;
          expect(whole).toEqual(written === '' ? [] : [said(written)]);
        },
      ),
      { numRuns: 500, seed: 1 },
    );
  });

  test('reasoning comes as it is written', () => {
    const parser = new ThinkParser({ open: true });
    expect(parser.push('\nTwo ')).toEqual([thought('Two')]);
    expect(parser.push('and')).toEqual([thought(' and')]);
    expect(parser.push('</think>4')).toEqual([said('4')]);
  });
});

test.each([
  ['<|im_start|>assistant\n<think>\n', true],
  ['<|Assistant|><think>', true],
  ['<|im_start|>assistant\n<think>\n\n</think>\n\n', false],
  ['What is <think>?<|im_start|>assistant\n', false],
])('whether %j opens the reasoning: %s', (prompt, opens) => {
  expect(opensThinking(prompt)).toBe(opens);
});
