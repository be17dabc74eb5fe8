import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8Ranges } from '../../../engine/grammar/language/bytes.js';
import { grammarText } from '../../../engine/grammar/to-grammar.js';
import { languageOf, writerOf } from '../../support/grammar-language.js';
import { processorMs } from '../../support/processor-time.js';

describe('regular expressions', () => {
  const TEXTS = [
    '',
    'a',
    'b',
    'ab',
    'aab',
    'abab',
    'é',
    'aé',
    '\u3000',
    ' ',
    '1',
    'a1',
    '-',
    'x-1',
    '\n',
    'z😀',
    '😀',
  ];

  it.each([
    'a*b?',
    '(?:ab)+',
    '[^a]',
    '\\w+',
    '\\W',
    '\\s',
    '\\S',
    '.',
    '..',
    'a|b|1',
    '(a|b){2,3}',
    '[\\d-]+',
    '[é-ÿ]',
    'x(?<n>-)\\d',
    '\\u{1f600}',
    '\\ud83d\\ude00',
    '[\\u{1f600}-\\u{1f64f}z]+',
    '^a$',
    '\\x61',
    '(a*)*',
    '[^]',
    'a{0}b',
    '^$|a',
  ])('%s means what it means in JavaScript', async (source) => {
    const allows = await languageOf({ kind: 'regex', source });
    const expected = new RegExp(`^(?:${source})$`, 'u');
    for (const text of TEXTS)
      expect([text, await allows(text)]).toEqual([text, expected.test(text)]);
  });

  it.each([
    ['a(?!b)', 'look-around'],
    ['(a)\\1', 'back reference'],
    ['\\bword', 'word boundary'],
    ['\\p{L}', 'Unicode property'],
    ['a^b', '^ inside'],
    ['a$b', '$ before the end'],
    ['[]', 'no character'],
    ['a{200000}', 'repetition'],
    ['(', 'Unterminated group'],
  ])('refuses %s: %s', (source, problem) => {
    expect(() => grammarText({ kind: 'regex', source })).toThrow(problem);
  });

  it('write texts that match', async () => {
    const source = '(?:[a-f]{2}-)+[^\\x00-\\x7f]{1,3}|"\\s"';
    const write = await writerOf({ kind: 'regex', source });
    const texts = await Promise.all(Array.from({ length: 20 }, (_, seed) => write(seed, 200)));
    const complete = texts.filter((text) => text !== null);
    expect(complete.length).toBeGreaterThan(3);
    expect(complete.filter((text) => !new RegExp(`^(?:${source})$`, 'u').test(text))).toEqual([]);
  });

  it('refuses what would grow out of all bounds, within a second or so', async () => {
    for (const source of ['(.*a.{1,3000})+', '(?:a{1,1000}){1,1000}', '.*a.{20}']) {
      const spent = await processorMs(() => {
        expect(() => grammarText({ kind: 'regex', source })).toThrow('too large');
      });
      expect(spent).toBeLessThan(20_000);
    }
  });

  it('cuts code points into the byte ranges of their UTF-8', () => {
    const point = fc.oneof(
      fc.integer({ min: 0, max: 0xd7ff }),
      fc.integer({ min: 0xe000, max: 0x10ffff }),
    );
    fc.assert(
      fc.property(point, point, point, (a, b, c) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        const parts: [number, number][] =
          first <= 0xd7ff && last >= 0xe000
            ? [
                [first, 0xd7ff],
                [0xe000, last],
              ]
            : [[first, last]];
        const bytes = [...Buffer.from(String.fromCodePoint(c))];
        const matches = parts
          .flatMap(utf8Ranges)
          .filter(
            (ranges) =>
              ranges.length === bytes.length &&
              ranges.every(([low, high], i) => low <= bytes[i] && bytes[i] <= high),
          );
        expect(matches.length).toBe(first <= c && c <= last ? 1 : 0);
      }),
      { numRuns: 500 },
    );
  });
});

describe('EBNF', () => {
  it('reads rules, groups, classes, counts, escapes and comments', async () => {
    const source =
      '# a list\nroot ::= item ("," item){0,2} # at most three\nitem ::= [a-c]+ | "\\"" [^"\\n]* "\\"" | "\\u00e9\\t"\n';
    const allows = await languageOf({ kind: 'ebnf', source });
    for (const text of ['a', 'abc,b', '"x y😀",é\t,c'])
      expect([text, await allows(text)]).toEqual([text, true]);
    for (const text of ['', 'd', 'a,', 'a,b,c,a', '"\n"', 'é'])
      expect([text, await allows(text)]).toEqual([text, false]);
  });

  it('knows recursion, to the left, too', async () => {
    const allows = await languageOf({
      kind: 'ebnf',
      source: 'root ::= root "+" n | n\nn ::= [0-9] | "(" root ")"',
    });
    expect(await allows('1+(2+3)+4')).toBe(true);
    expect(await allows('1+')).toBe(false);
  });

  it.each([
    ['root ::= "a" [', 'expected ] (line 1, column 15)'],
    ['root ::= foo', 'the rule foo is not defined (line 1, column 10)'],
    ['x ::= "a"', 'there is no rule root'],
    ['root ::= "a"{2,1}', 'wrong order'],
    ['root ::= ("a"', 'expected )'],
    ['root ::= "a" )', 'name of a rule'],
    ['root = "a"', 'expected ::='],
    ['root ::= "a\\q"', '\\q is not an escape'],
    ['root ::= "a"\nroot ::= "b"', 'twice (line 2, column 1)'],
    ['root ::= "a" root', 'no end'],
    ['root ::= [z-a]', 'ends before'],
    ['', 'there is no rule root'],
    ['root ::= "\\ud800"', 'surrogate'],
  ])('refuses %j: %s', (source, problem) => {
    expect(() => grammarText({ kind: 'ebnf', source })).toThrow(problem);
  });

  it('never gives the library what aborts it', async () => {
    const pieces = fc.constantFrom(
      'root',
      ' ::= ',
      '"a"',
      '[a-z]',
      '[^é]',
      '(',
      ')',
      '|',
      '*',
      '{1,2}',
      '\n',
      'b',
      ' ',
      '#',
      '\\',
      '"',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 12 }), async (parts) => {
        const source = `root ::= ${parts.join('')}`;
        let isRefused = false;
        try {
          grammarText({ kind: 'ebnf', source });
        } catch {
          isRefused = true;
        }
        if (!isRefused) await languageOf({ kind: 'ebnf', source });
      }),
      { numRuns: 300 },
    );
  });
});

describe('choices and structures', () => {
  it('write one of the texts', async () => {
    const allows = await languageOf({ kind: 'choice', choices: ['red', 'reddish', 'é"'] });
    for (const text of ['red', 'reddish', 'é"']) expect(await allows(text)).toBe(true);
    for (const text of ['re', 'redd', '']) expect(await allows(text)).toBe(false);
    expect(() => grammarText({ kind: 'choice', choices: [] })).toThrow('at least one');
  });

  it('put literal text around JSON, with alternatives and repetitions', async () => {
    const call = (name: string, schema: object) => [
      { kind: 'literal', text: `<tool_call>{"name": "${name}", "arguments": ` } as const,
      { kind: 'json-schema', source: JSON.stringify(schema) } as const,
      { kind: 'literal', text: '}</tool_call>' } as const,
    ];
    const of = [
      call('add', { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] }),
      call('now', { type: 'object', properties: {}, additionalProperties: false }),
    ];
    const allows = await languageOf({
      kind: 'structure',
      parts: [
        { kind: 'repeat', min: 1, max: 2, separator: '\n', parts: [{ kind: 'alternatives', of }] },
      ],
    });
    const add = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>';
    const now = '<tool_call>{"name": "now", "arguments": {}}</tool_call>';
    for (const text of [add, now, `${add}\n${now}`]) expect(await allows(text)).toBe(true);
    for (const text of [
      '',
      `${add}\n`,
      `${add}${add}`,
      `${now}\n${now}\n${now}`,
      add.replace('1', '"x"'),
    ]) {
      expect(await allows(text)).toBe(false);
    }
  });
});
