import { describe, expect, it } from 'vitest';
import { type ChatState, HELP, obey } from '../../../server/commands/chat-state.js';
import { LineJoiner } from '../../../server/commands/line-joiner.js';

const state = (): ChatState => ({ system: null, messages: [], options: {} });
const say = (line: string, to = state()): string | null => obey(line, to, 'model: m');

describe('commands of a conversation', () => {
  it('set what the model is told, and by which parameters', () => {
    const own = state();
    expect(say('/set system Be brief.\nNo more.', own)).toBe('Be brief.\nNo more.');
    expect(say('/system', own)).toBe('Be brief.\nNo more.');
    expect(say('/set parameter temperature 0.5', own)).toBe('parameters: temperature 0.5');
    say('/set parameter num_predict 7', own);
    say('/set parameter presence_penalty -1', own);
    say('/set parameter stop ###', own);
    expect(own.options).toEqual({
      temperature: 0.5,
      maxTokens: 7,
      presencePenalty: -1,
      stop: ['###'],
    });
    expect(say('/show', own)).toBe(
      'model: m\nsystem: Be brief.\nNo more.\nparameters: temperature 0.5, num_predict 7, presence_penalty -1, stop "###"',
    );
  });

  it('forget, help and leave', () => {
    const own = { ...state(), messages: [{ role: 'user', content: 'x' }] };
    expect(say('/clear', own)).toBe('forgotten');
    expect(own.messages).toEqual([]);
    expect([say('/?'), say('/help')]).toEqual([HELP, HELP]);
    expect([say('/bye'), say('/exit')]).toEqual([null, null]);
  });

  it.each([
    ['/fly', 'unknown command /fly: must be /set, /show, /clear, /bye or /?'],
    ['/set history', '/set history: must be /set system or /set parameter'],
    ['/set parameter num_ctx 3', /^unknown parameter num_ctx: must be one of temperature, /],
    ['/set parameter top_k 1.5', 'top_k 1.5: must be an integer from 0 to 1000000'],
    ['/set parameter temperature', "temperature '': must be a number from 0 to 2"],
    ['/set parameter', "parameters: the model's"],
    ['/system', 'there is no system message'],
  ])('answer %s', (line, answer) => {
    expect(say(line)).toEqual(
      typeof answer === 'string' ? answer : (expect.stringMatching(answer) as string),
    );
  });
});

describe('lines', () => {
  it.each([
    [['a'], ['a']],
    [['a\\', 'b'], ['a\nb']],
    [
      ['"""', 'a', '', 'b', '"""', 'c'],
      ['a\n\nb', 'c'],
    ],
    [['"""a', 'b"""'], ['a\nb']],
    [['"""a"""'], ['a']],
    [['/set system """a', 'b', '"""'], ['/set system a\nb']],
    [['say """a"""'], ['say """a"""']],
    [['"""', 'open'], []],
  ])('%j are the messages %j', (lines, messages) => {
    const joiner = new LineJoiner();
    const found = lines.map((line) => joiner.add(line)).filter((message) => message !== null);
    expect(found).toEqual(messages);
  });
});
