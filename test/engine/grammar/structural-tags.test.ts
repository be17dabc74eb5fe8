import { describe, expect, it } from 'vitest';
import { matcherOf } from '../../../engine/grammar/language/matcher.js';
import { Occurrences } from '../../../engine/grammar/language/occurrences.js';
import { structuralTag } from '../../../server/openai/fields/structural-tag.js';
import { languageOf, writerOf } from '../../support/grammar-language.js';

const tag = (format: object) =>
  structuralTag({ type: 'structural_tag', format }, 'response_format', {});
const text = (value: string) => ({ type: 'const_string', value });
const CITY = {
  type: 'json_schema',
  json_schema: {
    type: 'object',
    properties: { city: { enum: ['Oslo', 'Rome'] } },
    required: ['city'],
  },
};
const call = (name: string, content: object = CITY) => ({
  type: 'tag',
  begin: `<f=${name}>`,
  content,
  end: '</f>',
});
const ANY = { type: 'any_text' };
const CALLS = { type: 'triggered_tags', triggers: ['<f='], tags: [call('a'), call('b')] };
const OSLO = '<f=a>{"city": "Oslo"}</f>';

describe('where a pattern ends first', () => {
  const patterns = ['aab', 'abc', 'é!', 'bb'];
  const found = new Occurrences(patterns);
  const none = matcherOf(found.none());
  const upTo = patterns.map((_, i) => matcherOf(found.upTo(i)));

  /** By the definition. */
  function firstEnd(all: string): [pattern: number, end: number] | null {
    for (let end = 1; end <= all.length; end++) {
      const pattern = patterns.findIndex((each) => all.slice(0, end).endsWith(each));
      if (pattern >= 0) return [pattern, end];
    }
    return null;
  }

  it('is found in all texts of six of these characters', () => {
    const alphabet = ['a', 'b', 'c', 'é', '!'];
    for (let number = 0; number < 5 ** 6; number++) {
      const all = Array.from({ length: 6 }, (_, i) => alphabet[Math.floor(number / 5 ** i) % 5]);
      const whole = all.join('');
      const first = firstEnd(whole);
      expect([whole, none(whole)]).toEqual([whole, first === null]);
      for (const [i, matches] of upTo.entries()) {
        const expected = first?.[0] === i && first[1] === whole.length;
        if (matches(whole) !== expected) expect([whole, i]).toBe(expected);
      }
    }
  });

  it('not in other characters', () => {
    expect(none('x€ü😀\n\0')).toBe(true);
    expect(none('xé!')).toBe(false);
    expect(new Occurrences([]).none()).toMatchObject({ kind: 'machine' });
  });

  it('in so many patterns alone', () => {
    expect(() => new Occurrences(['a'.repeat(1001)])).toThrow(/more than 1000 characters/);
  });
});

describe('the texts of a structural tag', () => {
  it.each<[string, object, string[], string[]]>([
    [
      'free text with tags at triggers',
      CALLS,
      [
        '',
        'hi',
        '<',
        '<f',
        `a ${OSLO} b`,
        `${OSLO}${OSLO.replace('a', 'b')}`,
        '<<f=b>{"city":"Rome"}</f>é',
      ],
      [
        '<f=',
        '<f=c>',
        '<f=a>{}</f>',
        `${OSLO}<f=`,
        '<f=a>{"city": "Oslo"}',
        'x<f=a>{"city": "Bonn"}</f>',
      ],
    ],
    [
      'one tag at once',
      { ...CALLS, at_least_one: true, stop_after_first: true },
      [OSLO],
      ['', `x${OSLO}`, `${OSLO} `, `${OSLO}${OSLO}`],
    ],
    [
      'a tag at once, and free text',
      { ...CALLS, at_least_one: true },
      [OSLO, `${OSLO} x ${OSLO}`],
      ['', `x${OSLO}`],
    ],
    [
      'one tag at most',
      { ...CALLS, stop_after_first: true },
      ['', 'x', `x${OSLO}`],
      [`${OSLO} `, `${OSLO}${OSLO}`],
    ],
    ['excluded texts', { ...CALLS, excludes: ['no'] }, ['n', `n${OSLO}o`], ['no', `${OSLO}no`]],
    [
      'a sequence with thoughts first',
      {
        type: 'sequence',
        elements: [{ type: 'tag', begin: '<t>', content: ANY, end: '</t>' }, CALLS],
      },
      ['<t></t>', `<t>a <f= b</t>${OSLO}`, '<t></</t></t>'],
      ['', `<t>${OSLO}`, '<t>a</t'],
    ],
    [
      'free text with tags inside of a tag',
      { type: 'tag', begin: '[', content: CALLS, end: [']', ')'] },
      [`[a${OSLO}b]`, '[)', '[]'],
      ['[a', '[a]b', '[<f=]'],
    ],
    [
      'alternatives, options and repetitions',
      {
        type: 'sequence',
        elements: [
          { type: 'or', elements: [text('a'), { type: 'regex', pattern: '[0-9]{2}' }] },
          { type: 'optional', content: text('?') },
          { type: 'star', content: { type: 'plus', content: text('x') } },
          { type: 'repeat', min: 1, max: 2, content: text('y') },
          {
            type: 'repeat',
            min: 0,
            max: -1,
            content: { type: 'grammar', grammar: 'root ::= a | "(" root ")"\na ::= "z"' },
          },
        ],
      },
      ['ay', '12?xxxyy', 'ayz((z))'],
      ['y', 'a', 'ayyy', '1y', 'ay(z'],
    ],
    [
      'tags with a separator',
      {
        type: 'tags_with_separator',
        tags: [call('a', text('1')), call('b', ANY)],
        separator: ', ',
      },
      ['', '<f=a>1</f>', '<f=a>1</f>, <f=b>x, y</f>'],
      ['<f=a>1</f>,', 'x<f=a>1</f>', '<f=a>1</f><f=a>1</f>'],
    ],
    [
      'a dispatch',
      {
        type: 'dispatch',
        rules: [
          ['#', { type: 'regex', pattern: '\\d' }],
          ['@', text('me')],
        ],
        excludes: ['!'],
      },
      ['', 'a #1 @me', '#1#2'],
      ['#', '#x', '@you', '!'],
    ],
    [
      'a dispatch without return',
      { type: 'dispatch', rules: [['#', text('1')]], loop: false },
      ['', 'a#1'],
      ['#1 ', '#1#1'],
    ],
  ])('%s', async (_, format, inside, outside) => {
    const accepts = await languageOf(tag(format));
    for (const each of inside) expect([each, await accepts(each)]).toEqual([each, true]);
    for (const each of outside) expect([each, await accepts(each)]).toEqual([each, false]);
  });

  it('are the same in the older form', async () => {
    const structures = [{ begin: '<f=a>', schema: CITY.json_schema, end: '</f>' }];
    const older = { type: 'structural_tag', structures, triggers: ['<f='] };
    const accepts = await languageOf(structuralTag(older, 'response_format', {}));
    expect(await accepts(`x ${OSLO} y`)).toBe(true);
    expect(await accepts('<f=b>')).toBe(false);
    const any = { ...older, structures: [{ begin: '<f=a>', schema: null, end: '' }] };
    const free = await languageOf(structuralTag(JSON.stringify(any), 'x', {}));
    expect(await free('<f=a>[1, {"b": null}] and more')).toBe(true);
  });

  it('never end in a dead end', async () => {
    const write = await writerOf(tag({ type: 'tag', begin: '[', content: CALLS, end: ']' }));
    const accepts = await languageOf(tag({ type: 'tag', begin: '[', content: CALLS, end: ']' }));
    const texts = [];
    for (let seed = 0; seed < 40; seed++) texts.push(await write(seed, 60));
    const whole = texts.filter((written) => written !== null);
    expect(whole).not.toEqual([]);
    for (const written of whole) expect([written, await accepts(written)]).toEqual([written, true]);
  });

  it('have no more rules for each level of nesting', () => {
    const nested = (depth: number): object =>
      depth === 0
        ? text('x')
        : {
            type: 'star',
            content: { ...CALLS, at_least_one: true, tags: [call('a', nested(depth - 1))] },
          };
    expect(JSON.stringify(tag(nested(60))).length).toBeLessThan(20_000);
  });
});

describe('what is no structural tag', () => {
  it.each<[object | string, string, RegExp]>([
    ['{', 'f', /is not valid JSON/],
    ['[]', 'f', /must be an object/],
    [{ type: 'tag' }, 'f.type', /must be structural_tag/],
    [{ type: 'structural_tag' }, 'f.format', /is missing/],
    [
      { type: 'structural_tag', format: ANY, structures: [] },
      'f.structures',
      /together with format/,
    ],
    [
      { type: 'structural_tag', structures: [{ begin: 'a', end: 'b' }] },
      'f.triggers',
      /is missing/,
    ],
    [
      { type: 'structural_tag', structures: [{ begin: 1, end: 'b' }], triggers: ['a'] },
      'f.structures[0].begin',
      /must be a text/,
    ],
  ])('%j', (given, param, problem) => {
    expect(() => structuralTag(given, 'f', {})).toThrow(
      expect.objectContaining({
        param,
        message: expect.stringMatching(problem) as string,
      }) as Error,
    );
  });

  it.each<[object, string, RegExp]>([
    [
      { type: 'qwen_xml_parameter' },
      '.type',
      /is qwen_xml_parameter: must be one of const_string, json_schema/,
    ],
    [{ type: 'token', token: 1 }, '.type', /must be one of/],
    [{ type: 'const_string' }, '.value', /is missing/],
    [{ type: 'json_schema', json_schema: 1 }, '.json_schema', /must be an object/],
    [{ ...CITY, style: 'glm_xml' }, '.style', /is glm_xml: must be json/],
    [{ ...CITY, any_order: true }, '.any_order', /must be false/],
    [{ ...ANY, max_tokens: 5 }, '.max_tokens', /not supported/],
    [{ ...ANY, excludes: [''] }, '.excludes[0]', /must not be empty/],
    [{ type: 'sequence', elements: [] }, '.elements', /1 to 1000 items/],
    [{ type: 'sequence', elements: [ANY, { type: 'or' }] }, '.elements[1].elements', /is missing/],
    [{ type: 'repeat', min: -1, max: 2, content: ANY }, '.min', /integer from 0/],
    [{ type: 'repeat', min: 3, max: 2, content: ANY }, '.max', /at least 3/],
    [{ type: 'star' }, '.content', /is missing/],
    [{ ...call('a'), begin: { type: 'token', token: 1 } }, '.begin', /tokens are not supported/],
    [
      { ...CALLS, tags: [call('a'), { ...call('b'), begin: 'b' }] },
      '.tags[1].begin',
      /must begin with one of/,
    ],
    [{ ...CALLS, triggers: ['<f=', '<g='] }, '.triggers[1]', /begins none of/],
    [{ ...CALLS, triggers: ['<f=', '<f=a'] }, '.triggers[0]', /occurs in .*triggers\[1\]/],
    [{ ...CALLS, tags: [text('a')] }, '.tags[0].type', /must be tag/],
    [{ ...CALLS, excludes: ['f'] }, '.triggers[0]', /holds an excluded text/],
    [{ type: 'dispatch', rules: ['a'] }, '.rules[0]', /must be a list/],
    [
      {
        type: 'dispatch',
        rules: [
          ['a', text('b')],
          ['a', text('b')],
        ],
      },
      '.rules[0]',
      /occurs in/,
    ],
  ])('%j', (format, place, problem) => {
    const param = `response_format.format${place}`;
    expect(() => tag(format)).toThrow(
      expect.objectContaining({
        param,
        message: expect.stringMatching(problem) as string,
      }) as Error,
    );
  });
});
