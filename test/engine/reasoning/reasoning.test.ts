import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HARMONY_REASONING } from '../../../engine/reasoning/harmony.js';
import type { ReasoningForm, ThinkPiece } from '../../../engine/reasoning/reasoning-form.js';
import { chooseReasoning } from '../../../engine/reasoning/reasoning-parsers.js';
import { taggedReasoning } from '../../../engine/reasoning/tagged-reasoning.js';
import { HARMONY } from '../../../engine/tools/harmony.js';
import { cutAt, joinEvents, messageOf, parsePieces } from '../../support/tool-events.js';

const THINK = taggedReasoning('think', ['<think>', '</think>']);

function parse(
  pieces: readonly string[],
  isOpen = false,
  form: ReasoningForm = THINK,
): ThinkPiece[] {
  const parser = form.createReader({ isOpen });
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
    const parser = THINK.createReader({ isOpen: true });
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
  expect(THINK.opens(prompt)).toBe(opens);
});

describe('harmony', () => {
  const ANALYSIS = '<|channel|>analysis<|message|>Two < <|three.<|end|><|start|>assistant';
  const CALL =
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "<|"}';

  test.each<[string, string, ThinkPiece[]]>([
    [
      'reasoning, then the answer',
      `${ANALYSIS}<|channel|>final<|message|>It is 4.\n<|return|>`,
      [thought('Two < <|three.'), said('It is 4.\n')],
    ],
    [
      'a word to the user before the answer',
      `${ANALYSIS}<|channel|>commentary<|message|>One moment.<|end|><|start|>assistant<|channel|>final<|message|>4`,
      [thought('Two < <|three.'), said('One moment.4')],
    ],
    [
      'the recipient before the channel',
      ' to=functions.get_weather<|channel|>commentary json<|message|>{}<|call|>',
      [said('<|channel|>commentary to=functions.get_weather<|message|>{}<|call|>')],
    ],
    ['cut off while thinking', '<|channel|>analysis<|message|>Two <|e', [thought('Two <|e')]],
    ['no channel at all', 'Yes: <|en is text.', [said('Yes: <|en is text.')]],
    ['cut off in the first header', '<|channel|>ana', [said('<|channel|>ana')]],
  ])('%s', (_, text, pieces) => {
    expect(parse([text], false, HARMONY_REASONING)).toEqual(pieces);
    for (let place = 0; place <= text.length; place++) {
      const cut = [text.slice(0, place), text.slice(place)];
      expect(parse(cut, false, HARMONY_REASONING)).toEqual(pieces);
    }
  });

  test('calls reach the format of the same name', () => {
    const pieces = parse([`${ANALYSIS}${CALL}<|call|>`], false, HARMONY_REASONING);
    expect(pieces[0]).toEqual(thought('Two < <|three.'));
    const content = pieces.slice(1).map(({ text }) => text);
    expect(messageOf(parsePieces(HARMONY.createParser([]), content))).toEqual({
      content: '',
      calls: [['get_weather', '{"city": "<|"}']],
    });
    // Without a reader of reasoning, too.
    expect(messageOf(parsePieces(HARMONY.createParser([]), [CALL])).calls).toHaveLength(1);
  });
});

test.each([
  ['Qwen 3', "{{- '<think>\\n\\n</think>\\n\\n' }}", 'think'],
  ['Magistral', '[THINK]{{ reasoning }}[/THINK]', 'mistral'],
  ['Granite 3.2', 'under Here is my thought process: and', 'granite'],
  ['gpt-oss', "{{- '<|start|>assistant<|channel|>analysis<|message|>' }}", 'openai'],
  ['Apertus', '<|inner_prefix|>', 'apertus'],
  ['Gemma 4', "{{- '<|channel>thought\\n<channel|>' }}", 'gemma4'],
  ['Llama 3', '<|start_header_id|>', null],
])('the form that the template of %s shows', (_, template, name) => {
  expect(chooseReasoning('auto', template)?.name ?? null).toBe(name);
  expect(chooseReasoning('none', template)).toBeNull();
  expect(chooseReasoning('think', template)?.name).toBe('think');
});

test('other tags', () => {
  const read = (name: 'mistral' | 'granite', text: string): ThinkPiece[] =>
    parse(text.split(''), false, chooseReasoning(name, '') ?? THINK);
  expect(read('mistral', '[THINK]Hm.[/THINK]4')).toEqual([thought('Hm.'), said('4')]);
  expect(read('granite', 'Here is my thought process: Hm.\n\nHere is my response: 4')).toEqual([
    thought('Hm.'),
    said('4'),
  ]);
});
