import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import {
  PROMPT_DEFAULTS,
  PromptThreads,
} from '../../../engine/generation/prompts/prompt-threads.js';
import { MAX_TEMPLATE, RequestTemplates } from '../../../engine/text/request-templates.js';
import { loadServedModel } from '../../../engine/text/served-model.js';

const TINY = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));
const tokens = { bosToken: '<s>', eosToken: '</s>' };
const templates = new RequestTemplates(tokens);
const hello = [{ role: 'user', content: 'Hello' }];
const write = (source: string, messages = hello): string => templates.get(source).render(messages);

describe('a template of a request', () => {
  it.each<[string, string]>([
    ['{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}', '<s>[Hello]'],
    ["{{ messages[0].content.replace('l', 'L', 1) | upper }}", 'HELLO'],
    ["{{ messages[0]['content'].strip().split('e') | join('-') }}", 'H-llo'],
    [
      "{{ [1, 2] | join(', ') }}{{ {'a': [1]} | tojson(indent=2) }}",
      '1, 2{\n  "a": [\n    1\n  ]\n}',
    ],
    ['{% filter upper %}a{{ 1 }}{% endfilter %}{{ [1] | tojson(separators=(",", ":")) }}', 'A1[1]'],
    ["{{ 'a\nb' | indent(2) }}{{ 'x' ~ [1] }}", 'a\n  bx[1]'],
    ['{% macro f(x, y=2) %}{{ x }}{{ y }}{% endmacro %}{{ f(*[1]) }}{{ f(3, y=4) }}', '1234'],
    [
      '{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}',
      '3',
    ],
    ["{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ ' x '.lstrip() }}", 'a1x '],
  ])('writes %j', (source, text) => {
    expect(write(source)).toBe(text);
  });

  it.each<[string, string, RegExp]>([
    [
      'a text by joining',
      "{% set ns = namespace(t='aaaaaaaa') %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
      /a text of more than 4194304 characters/,
    ],
    [
      'a text by replacing',
      "{{ messages[0].content | replace('', messages[0].content) }}",
      /a text of more than/,
    ],
    [
      'what it writes',
      '{% for i in range(2000) %}{{ messages[0].content }}{% endfor %}',
      /a text of more than/,
    ],
    [
      'a list by adding',
      '{% set ns = namespace(l=[1, 2]) %}{% for i in range(40) %}{% set ns.l = ns.l + ns.l %}{% endfor %}',
      /a list of more than 100000 items/,
    ],
    [
      'one list in itself',
      '{% set ns = namespace(l=["aaaaaaaaaaaaaaaa"]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}',
      /a text of more than/,
    ],
    [
      'the same as JSON',
      '{% set ns = namespace(l=["aaaaaaaaaaaaaaaa"]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}',
      /a text of more than/,
    ],
    [
      'a filter of a block',
      "{% filter replace('', messages[0].content) %}{{ messages[0].content }}{% endfilter %}",
      /a text of more than/,
    ],
    [
      'separators of JSON',
      "{{ [1] | tojson(separators=(messages[0].content, ':')) }}",
      /separates JSON by more than 8/,
    ],
    [
      'lines of JSON, deep and indented',
      '{% set ns = namespace(l=[range(9000)]) %}{% for i in range(200) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l | tojson(indent=900) }}',
      /a text of more than/,
    ],
    ['an indent', "{{ 'a\nb' | indent(100000000) }}", /indents by more than 1000/],
    ['an indent of JSON', '{{ [1] | tojson(indent=100000000) }}', /indents by more than 1000/],
    ['a list of numbers', '{{ range(1000000000) }}', /more than 100000 numbers/],
    ['no numbers', '{{ range(0, 5, 0) }}', /more than 100000 numbers/],
    [
      'a separator',
      "{% set s = messages[0].content.replace('', 'aaaaaaaaaa') %}{{ range(100000) | join(s) }}",
      /a text of more than/,
    ],
    [
      'a method by another name',
      "{% set r = messages[0].content.replace %}{{ r('a', 'b') }}",
      /takes a method for a value/,
    ],
    [
      'a method by a name that it makes',
      "{{ messages[0].content['re' ~ 'place']('', messages[0].content) }}",
      /a text of more than/,
    ],
  ])('is refused when it makes too much: %s', (_, source, problem) => {
    const large = [{ role: 'user', content: 'a'.repeat(40_000) }];
    expect(() => write(source, large)).toThrow(problem);
    expect(() => write(source, large)).toThrow(/^the request's chat template cannot write/);
  });

  it('may refuse messages itself', () => {
    expect(() => write("{{ raise_exception('no') }}")).toThrow(
      "the request's chat template refuses the messages: no",
    );
  });

  it('is parsed once, and 16 are kept', () => {
    const few = new RequestTemplates(tokens);
    const first = few.get('0');
    for (let i = 1; i < 16; i++) few.get(String(i));
    expect(few.get('0')).toBe(first);
    few.get('16');
    expect(few.size).toBe(16);
    expect(few.get('0')).toBe(first);
    for (let i = 20; i < 36; i++) few.get(String(i));
    expect(few.get('0')).not.toBe(first);
  });

  it('that does not parse says in which line', () => {
    expect(() => templates.get('a\n{{ b')).toThrow(
      'chat_template does not parse: line 2: {{ is not closed',
    );
    expect(() => templates.get('{{ (('.repeat(MAX_TEMPLATE / 5))).toThrow(/does not parse/);
  });
});

describe('in a thread', () => {
  const asker = { client: 'a', signal: new AbortController().signal };
  let threads: PromptThreads;
  beforeAll(async () => {
    const model = await loadServedModel(TINY, []);
    threads = new PromptThreads(model, TINY, { ...PROMPT_DEFAULTS, budgetMs: 1000 });
  });
  afterAll(() => threads.close());

  const NESTED = '{% for a in range(100000) %}{% for b in range(100000) %}';
  const ENDS = '{% endfor %}{% endfor %}';

  test.each<[string, string]>([
    ['loops', `${NESTED}{% set x = a * b %}${ENDS}`],
    [
      'keeps much',
      `{% set ns = namespace(l=[]) %}${NESTED}{% set ns.l = [ns.l, b ~ 'x'] %}${ENDS}`,
    ],
  ])('one that %s ends with its thread, and others are written', async (_, template) => {
    await expect(threads.render(hello, { template }, asker)).rejects.toMatchObject({
      kind: 'invalid_request',
      param: 'chat_template',
      message: expect.stringMatching(
        /^chat_template: the chat template's work takes more than/,
      ) as string,
    });
    const next = { template: '{{ messages[0].content }}' };
    expect((await threads.render(hello, next, asker)).text).toBe('Hello');
  });

  test('one without tools refuses them', async () => {
    const tool = { type: 'function', function: { name: 'f', parameters: {} } };
    const options = { template: '{{ messages[0].content }}', tools: [tool] };
    await expect(threads.render(hello, options, asker)).rejects.toMatchObject({ param: 'tools' });
    const shown = { ...options, template: '{{ tools | tojson }}' };
    expect((await threads.render(hello, shown, asker)).text).toContain('"name": "f"');
  });

  test("the client's texts stay the client's", async () => {
    const options = { template: '<|end|>{{ messages[0].content }}' };
    const prompt = await threads.render(hello, options, asker);
    expect(prompt.client).toEqual([{ start: 7, end: 12 }]);
  });
});
