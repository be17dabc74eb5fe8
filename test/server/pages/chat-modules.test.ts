import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Attachment, Message, ToolCall, Turn } from '../../../server/pages/chat-types.js';

// The pages' scripts are not compiled: what a test uses of them is said here.
const load = (name: string): Promise<unknown> =>
  import(new URL(`../../../server/pages/${name}.mjs`, import.meta.url).href);

const { calculate } = (await load('calculator')) as { calculate: (text: string) => number };
const { PAGE_TOOLS, isPageTool, runPageTool } = (await load('page-tools')) as {
  PAGE_TOOLS: { function: { name: string } }[];
  isPageTool: (call: ToolCall) => boolean;
  runPageTool: (call: ToolCall, now: Date) => string;
};
const { attach, blobOf, textOf } = (await load('attachments')) as {
  attach: (file: File, model: { seesImages: boolean }) => Promise<Attachment>;
  blobOf: (url: string) => Blob;
  textOf: (bytes: Uint8Array) => string | null;
};
const { Conversation } = (await load('conversation')) as {
  Conversation: new (chat: {
    id: string;
    title: string;
    turns: readonly Turn[];
  }) => {
    title: string;
    messages: Message[];
    ask(turn: Turn): void;
  };
};

describe('the calculator', () => {
  it.each([
    ['2 + 3 * 4', 14],
    ['(2 + 3) * 4', 20],
    ['-2 ^ 2', -4],
    ['2 ^ 3 ^ 2', 512],
    ['2 ** -1', 0.5],
    ['0.1 + 0.2', 0.3],
    ['17 × 23 − 1', 390],
    ['7 % 4 / 2', 1.5],
    ['1.5e3 + .5', 1500.5],
    ['max(1, sqrt(16), 2) + ABS(-3)', 7],
    ['round(100 * pi)', 314],
  ])('%s', (text, value) => {
    expect(calculate(text)).toBe(value);
  });

  it.each([
    ['', 'it ends too early'],
    ['2 +', 'it ends too early'],
    ['2 3', "'3' is not expected there"],
    ['(2', "a ')' is missing"],
    ['1 / (3 - 3)', 'division by zero'],
    ['sqrt(-1)', 'the result is not a number'],
    ['constructor', "'constructor' is not known"],
    ['toString(1)', "the function 'tostring' is not known"],
    ['alert`1`', "'`' is not arithmetic"],
    ['2; fetch("/")', "';' is not arithmetic"],
    ['('.repeat(5000), 'at most 1000 characters'],
  ])('refuses %s', (text, message) => {
    expect(() => calculate(text)).toThrow(message);
  });

  it('computes what the same expression is in JavaScript', () => {
    interface Term {
      readonly text: string;
      readonly value: number;
    }
    const { term } = fc.letrec<{ term: Term }>((tie) => ({
      term: fc.oneof(
        { maxDepth: 5 },
        fc.nat(99).map((value) => ({ text: String(value), value })),
        fc.tuple(fc.constantFrom('+', '-', '*'), tie('term'), tie('term')).map(([sign, a, b]) => ({
          text: `(${a.text} ${sign} ${b.text})`,
          value:
            sign === '+' ? a.value + b.value : sign === '-' ? a.value - b.value : a.value * b.value,
        })),
        tie('term').map(({ text, value }) => ({ text: `-(${text})`, value: -value })),
      ),
    }));
    fc.assert(
      fc.property(term, ({ text, value }) => {
        fc.pre(text.length <= 1000 && Math.abs(value) < 1e14);
        expect(calculate(text)).toBeCloseTo(value, 6);
      }),
    );
  });
});

describe("the page's tools", () => {
  const call = (name: string, text: string): ToolCall => ({
    id: 'c1',
    type: 'function',
    function: { name, arguments: text },
  });
  const now = new Date('2026-03-01T12:00:00Z');

  it('are a calculator and a clock', () => {
    expect(PAGE_TOOLS.map((tool) => tool.function.name)).toEqual(['calculator', 'clock']);
    expect(
      ['calculator', 'clock', 'toString', 'fetch'].map((name) => isPageTool(call(name, ''))),
    ).toEqual([true, true, false, false]);
    expect(runPageTool(call('calculator', '{"expression": "6 * 7"}'), now)).toBe('42');
    expect(runPageTool(call('clock', '{"time_zone": "Europe/Rome"}'), now)).toMatch(
      /^Sunday, March 1, 2026.*1:00:00\sPM/,
    );
    expect(runPageTool(call('clock', ''), now)).toMatch(/2026/);
  });

  it('say what is wrong with a call', () => {
    expect(runPageTool(call('calculator', '{"expression": "2 +"}'), now)).toBe(
      'error: it ends too early',
    );
    expect(runPageTool(call('calculator', '[1]'), now)).toMatch(/^error: the arguments must be/);
    expect(runPageTool(call('calculator', '{"exp'), now)).toMatch(/^error: /);
    expect(runPageTool(call('clock', '{"time_zone": "Mars"}'), now)).toMatch(/^error: .*Mars/);
  });
});

describe('files of a question', () => {
  const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);
  const file = (name: string, content: Uint8Array<ArrayBuffer>, type = ''): File =>
    new File([content], name, { type });

  it('are text in UTF-8 or UTF-16, or none', () => {
    expect(textOf(new TextEncoder().encode('ä\r\nb'))).toBe('ä\nb');
    expect(textOf(bytes(0xff, 0xfe, 0x61, 0, 0xe4, 0))).toBe('aä');
    expect(textOf(bytes(0xfe, 0xff, 0, 0x61))).toBe('a');
    expect(textOf(bytes())).toBe('');
    expect(textOf(bytes(0x61, 0xff))).toBe(null);
    expect(textOf(bytes(0x61, 0, 0x62))).toBe(null);
  });

  it('are refused in one line that says why', async () => {
    const text = { seesImages: false };
    expect(await attach(file('a.md', bytes(0x61)), text)).toEqual({
      kind: 'text',
      name: 'a.md',
      content: 'a',
    });
    await expect(attach(file('a.zip', bytes(0xff)), text)).rejects.toThrow(
      /^a\.zip is not text: only texts are taken\.$/,
    );
    await expect(attach(file('big.txt', new Uint8Array(2 ** 19 + 1)), text)).rejects.toThrow(
      /^big\.txt has 512 KiB: at most 512 KiB are taken\.$/,
    );
    await expect(attach(file('a.png', bytes(1), 'image/png'), text)).rejects.toThrow(
      /^a\.png: this model does not see images\.$/,
    );
  });

  it('are pictures for models that see them', async () => {
    const content = Uint8Array.from({ length: 20_000 }, (_, i) => i % 251);
    const picture = await attach(file('a.png', content, 'image/png'), { seesImages: true });
    expect(picture.content).toBe(
      `data:image/png;base64,${Buffer.from(content).toString('base64')}`,
    );
    const blob = blobOf(picture.content);
    expect([blob.type, new Uint8Array(await blob.arrayBuffer())]).toEqual(['image/png', content]);
  });
});

describe('a conversation', () => {
  const question = (content: string, ...files: Attachment[]): Turn => ({
    role: 'user',
    content,
    files,
  });
  const answer = (content: string, calls: ToolCall[] = []): Turn => ({
    role: 'assistant',
    content,
    reasoning: 'Hm.',
    reasoningMs: 0,
    calls,
    figures: [],
    error: null,
  });
  const messagesOf = (...turns: Turn[]): Message[] =>
    new Conversation({ id: '1', title: '', turns }).messages;

  it('is sent as the API takes it, without questions that got no answer', () => {
    const calls: ToolCall[] = [
      { id: 'c1', type: 'function', function: { name: 'clock', arguments: '{}' } },
    ];
    expect(
      messagesOf(
        question('Lost?'),
        answer(''),
        question('When?'),
        answer('', calls),
        { role: 'tool', content: 'noon', callId: 'c1', name: 'clock' },
        answer('At noon.'),
        question('Thanks'),
      ),
    ).toEqual([
      { role: 'user', content: 'When?' },
      { role: 'assistant', content: '', tool_calls: calls },
      { role: 'tool', content: 'noon', tool_call_id: 'c1' },
      { role: 'assistant', content: 'At noon.' },
      { role: 'user', content: 'Thanks' },
    ]);
  });

  it('has files before the question, in fences that they cannot close', () => {
    const text: Attachment = { kind: 'text', name: 'a.md', content: '```js\nx\n````\n' };
    expect(messagesOf(question('Why?', text))).toEqual([
      { role: 'user', content: 'a.md:\n`````\n```js\nx\n````\n`````\n\nWhy?' },
    ]);
    const image: Attachment = {
      kind: 'image',
      name: 'b.png',
      content: 'data:image/png;base64,AA==',
    };
    expect(messagesOf(question('', image))).toEqual([
      { role: 'user', content: [{ type: 'image_url', image_url: { url: image.content } }] },
    ]);
    expect(messagesOf(question('What?', image))[0]?.content).toHaveLength(2);
  });

  it('is called by its first question', () => {
    const title = (content: string, ...files: Attachment[]): string => {
      const said = new Conversation({ id: '1', title: '', turns: [] });
      said.ask(question(content, ...files));
      said.ask(question('Another'));
      return said.title;
    };
    expect(title('Why?\nBecause')).toBe('Why?');
    expect(title('', { kind: 'text', name: 'a.md', content: '' })).toBe('a.md');
    expect(title('x'.repeat(100))).toBe(`${'x'.repeat(59)}…`);
  });
});
