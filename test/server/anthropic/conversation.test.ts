import { describe, expect, test } from 'vitest';
import type { SystemField, Turns } from '../../../server/anthropic/blocks.js';
import { toMessages } from '../../../server/anthropic/conversation.js';

const text = (value: string) => ({ type: 'text' as const, text: value });
const call = (id: string) => ({ type: 'tool_use' as const, id, name: 'f', input: { id } });
const result = (id: string, content: string) =>
  ({ type: 'tool_result', tool_use_id: id, content }) as const;

const textOf = (system: SystemField, turns: Turns, takesLaterSystem = true): string =>
  toMessages(system, turns, takesLaterSystem)
    .map((message) => {
      const calls = (message.tool_calls ?? []).map((made) => `[${made.function.arguments}]`);
      const thought = message.reasoning_content ? `(${message.reasoning_content})` : '';
      return `${message.role}: ${thought}${JSON.stringify(message.content)}${calls.join('')}`;
    })
    .join('; ');

describe('a conversation', () => {
  test.each<[string, SystemField, Turns, string]>([
    [
      'has a system message',
      'Be brief.',
      [{ role: 'user', content: 'Hi' }],
      'system: "Be brief."; user: "Hi"',
    ],
    [
      'of blocks, which become lines',
      [text('a'), text('b')],
      [{ role: 'user', content: [text('c'), text('d')] }],
      'system: "a\\nb"; user: "c\\nd"',
    ],
    [
      "without what differs in each of Claude Code's requests",
      [text('x-anthropic-billing-header: cc_version=1; cch=abc;'), text('a')],
      [{ role: 'user', content: 'Hi' }],
      'system: "a"; user: "Hi"',
    ],
    [
      'joins turns of one role',
      null,
      [
        { role: 'user', content: 'a' },
        { role: 'user', content: [text('b')] },
        { role: 'assistant', content: 'c' },
        { role: 'assistant', content: [text('d'), call('1')] },
        { role: 'user', content: [result('1', 'e')] },
      ],
      'user: "a\\nb"; assistant: "cd"[{"id":"1"}]; tool: "e"',
    ],
    [
      'has a message for each result, then the rest of the turn',
      null,
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: [call('1'), call('2')] },
        { role: 'user', content: [result('1', 'b'), result('2', 'c'), text('d'), text('e')] },
      ],
      'user: "a"; assistant: ""[{"id":"1"}][{"id":"2"}]; tool: "b"; tool: "c"; user: "d\\ne"',
    ],
    [
      'keeps what was thought, where it can be read',
      null,
      [
        { role: 'user', content: 'a' },
        {
          role: 'assistant',
          content: [
            { type: 'redacted_thinking', data: 'x' },
            { type: 'thinking', thinking: 'b', signature: 's' },
            text('c'),
          ],
        },
      ],
      'user: "a"; assistant: (b)"c"',
    ],
    [
      'lets the system speak later, too',
      'a',
      [
        { role: 'system', content: 'b' },
        { role: 'user', content: 'c' },
        { role: 'system', content: [text('d')] },
      ],
      'system: "a\\nb"; user: "c"; system: "d"',
    ],
  ])('%s', (_, system, turns, expected) => {
    expect(textOf(system, turns)).toBe(expected);
  });

  test('lets the user say what the system says later, for templates that leave that out', () => {
    const turns: Turns = [
      { role: 'system', content: 'b' },
      { role: 'user', content: 'c' },
      { role: 'system', content: 'd' },
      { role: 'assistant', content: [call('1')] },
      { role: 'user', content: [result('1', 'e')] },
      { role: 'system', content: 'f' },
      { role: 'user', content: 'g' },
    ];
    expect(textOf('a', turns, false)).toBe(
      'system: "a\\nb"; user: "c\\nd"; assistant: ""[{"id":"1"}]; tool: "e"; user: "f\\ng"',
    );
  });

  test.each<[object, string]>([
    [{ is_error: true, content: 'no network' }, 'Error: no network'],
    [{ is_error: true, content: 'ERROR 5' }, 'ERROR 5'],
    [{ is_error: true, content: '<error>x</error>' }, '<error>x</error>'],
    [{ is_error: true }, 'Error: '],
    [{ is_error: false, content: [text('a'), text('b')] }, 'a\nb'],
    [{ content: null }, ''],
  ])('the result %j is %j', (fields, shown) => {
    const turns = [
      { role: 'assistant', content: [call('1')] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: '1', ...fields }] },
    ] as Turns;
    expect(toMessages(null, turns, true).at(-1)).toEqual({
      role: 'tool',
      content: shown,
      tool_call_id: '1',
    });
  });
});
