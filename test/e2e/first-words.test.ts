import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { startOctavo } from '../support/octavo-process.js';

const GREETING = /^(Hello! How can I help you\?|Hi! What can I do for you\?)$/;
const WHO = /^I am octavo-tiny, a very small language model\.$/;
const CAPABILITIES = /^I can tell stories, jokes and poems, add small numbers, count, copy words/;
const WELCOME = /^(You are welcome!|My pleasure!)$/;
const BYE = /^(Goodbye! Have a nice day\.|Bye! See you soon\.)$/;
const WORKS = /^It works! Try: Tell me a /;
/** The model says what it does not know, cannot do, or did not understand, and what to try. */
const HONEST =
  /^(I am a very small model, I (do not know|cannot do) that\.|I did not understand that\.) Try: /;
const JOKE = /^(Why did the|What do you call|What has four|Why was the|What gets wet)/;

/** What people type first, as they type it, and the answers that make sense. */
const FIRST_WORDS: readonly (readonly [string, RegExp])[] = [
  ['hi', GREETING],
  ['hey', GREETING],
  ['Hello!', GREETING],
  ['hello', GREETING],
  ['good morning', GREETING],
  ['how are you?', /^(I am fine, thank you\. How are you\?|Very well, thank you!)$/],
  ['who are you?', WHO],
  ['what is your name?', WHO],
  ['are you chatgpt?', WHO],
  ['what can you do?', CAPABILITIES],
  ['help', CAPABILITIES],
  ['can you help me?', CAPABILITIES],
  ['what is octavo?', /^Octavo serves language models from Node\.js/],
  ['tell me a joke', JOKE],
  ['joke', JOKE],
  ['write a poem', /\n.*\n/],
  ['write a poem about a cat', /\bcat\b[^]*\n/],
  ['thanks', WELCOME],
  ['thank you!', WELCOME],
  ['bye', BYE],
  ['test', WORKS],
  ['ping', WORKS],
  ['ok', /^Good!$/],
  ['asdf', HONEST],
  ['asdfghjkl', HONEST],
  ['what time is it?', HONEST],
  ['what is the meaning of life?', HONEST],
  ['explain quantum physics', HONEST],
  ['write a python script', HONEST],
  ['2+2', /\b4\b/],
  ['capital of france', /Paris/],
  ['hola', /speak only English/],
];

describe('octavo-tiny', () => {
  it('answers what people type first', async () => {
    const { url } = await startOctavo();
    const api = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
    const ask = async (content: string): Promise<string> => {
      const { choices } = await api.chat.completions.create({
        model: 'octavo-tiny',
        messages: [{ role: 'user', content }],
        temperature: 0,
      });
      return choices[0]?.message.content ?? '';
    };
    const answers = await Promise.all(
      FIRST_WORDS.map(async ([content]) => [content, await ask(content)] as const),
    );
    const wrong = answers.filter(([, answer], i) => !FIRST_WORDS[i][1].test(answer));
    expect(wrong).toEqual([]);
  });
});
