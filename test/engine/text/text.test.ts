import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChatTemplate } from '../../../engine/text/chat-template.js';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { loadServedModel } from '../../../engine/text/served-model.js';
import { StopMatcher } from '../../../engine/text/stop-matcher.js';
import type { Tokenizer } from '../../../engine/text/tokenizer.js';
import type { TokenId } from '../../../scheduler/ids.js';
import {
  byteLevelTokenizer,
  fallbackTokenizer,
  writeModelDir,
} from '../../support/tiny-tokenizers.js';

const CONFIG = { tokenizer_class: 'PreTrainedTokenizerFast' };
const load = async (file: object): Promise<Tokenizer> =>
  loadTokenizer(await writeModelDir({ 'tokenizer.json': file, 'tokenizer_config.json': CONFIG }));

function streamed(
  tokenizer: Tokenizer,
  ids: readonly number[],
): { pieces: string[]; text: string } {
  const detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: true });
  const pieces = ids.map((id) => detokenizer.push(id as TokenId));
  return { pieces, text: [...pieces, detokenizer.flush()].join('') };
}

const bytesOf = (tokenizer: Tokenizer, id: number): number[] => [
  ...tokenizer.bytesOf(id as TokenId),
];

const whole = (tokenizer: Tokenizer, ids: readonly number[]): string =>
  tokenizer.decode(ids as TokenId[], { skipSpecialTokens: true });

describe('byte-level tokens', async () => {
  const tokenizer = await load(byteLevelTokenizer());

  test('stream to the same text as all at once, valid UTF-8 or not', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 260 })), (ids) => {
        expect(streamed(tokenizer, ids).text).toBe(whole(tokenizer, ids));
      }),
      { numRuns: 500 },
    );
  });

  test('give any text back, holding back only incomplete characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const ids = tokenizer.encode(text, { addSpecialTokens: false });
        const { pieces, text: result } = streamed(tokenizer, ids);
        expect(result).toBe(text);
        // Complete characters only, and as early as their last byte.
        expect(pieces.join('')).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test('a literal U+FFFD and a byte order mark are text', () => {
    const ids = tokenizer.encode('a\uFFFDb\uFEFF', { addSpecialTokens: false });
    const { pieces } = streamed(tokenizer, ids);
    expect(pieces.filter((piece) => piece !== '')).toEqual(['a', '\uFFFD', 'b', '\uFEFF']);
    expect(streamed(tokenizer, tokenizer.encode('\uFEFFx', { addSpecialTokens: false })).text).toBe(
      '\uFEFFx',
    );
  });

  test('an unfinished character comes out at the flush', () => {
    expect(streamed(tokenizer, [0xe2, 0x82])).toEqual({ pieces: ['', ''], text: '\uFFFD' });
  });

  test('special tokens are skipped, other added tokens kept', () => {
    const ids = tokenizer.encode('<tool_call>the t<|end|>', { addSpecialTokens: false });
    expect(ids).toEqual([259, 116, 256, 257, 258]);
    expect(streamed(tokenizer, ids).text).toBe('<tool_call>the t');
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe('<tool_call>the t<|end|>');
    expect(tokenizer.tokenId('<|end|>')).toBe(258);
    const shown = tokenizer.createDetokenizer({ skipSpecialTokens: false });
    expect(ids.map((id) => shown.push(id)).join('')).toBe('<tool_call>the t<|end|>');
  });

  test('are known by their bytes', () => {
    expect([0xe2, 257, 258, 259, 9999].map((id) => bytesOf(tokenizer, id))).toEqual([
      [0xe2],
      [...Buffer.from(' t')],
      [...Buffer.from('<|end|>')],
      [...Buffer.from('<tool_call>')],
      [],
    ]);
  });
});

const byte = (value: number): number => value + 3;

describe('tokens whose text depends on their neighbors', async () => {
  const tokenizer = await load(fallbackTokenizer());
  const word = fc.constantFrom([259], [260], [261], [262], [263], [264], [265]);
  const character = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 1 })
    .map((text) => [...Buffer.from(text)].map(byte));

  test('stream to the same text as all at once, where all bytes are valid UTF-8', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(word, character)), (parts) => {
        const ids = parts.flat();
        expect(streamed(tokenizer, ids).text).toBe(whole(tokenizer, ids));
      }),
      { numRuns: 300 },
    );
  });

  test('hold back only an incomplete character', () => {
    const euro = [...Buffer.from('€')].map(byte);
    const { pieces } = streamed(tokenizer, [
      259,
      ...euro,
      260,
      ...[...Buffer.from('\uFFFD')].map(byte),
    ]);
    expect(pieces).toEqual(['one', '', '', '€', ' two', '', '', '\uFFFD']);
  });

  test('go on behind other tokens, keeping their leading space', () => {
    const behind = (before: number[], ids: number[]): string => {
      const options = { skipSpecialTokens: true, before: before as TokenId[] };
      const detokenizer = tokenizer.createDetokenizer(options);
      return ids.map((id) => detokenizer.push(id as TokenId)).join('') + detokenizer.flush();
    };
    const octopus = [...Buffer.from('🐙')].map(byte);
    expect(behind([], [259, 260])).toBe('one two');
    expect(behind([260], [259, 260])).toBe(' one two');
    expect(behind([1, 260, 264], [259])).toBe(' one');
    expect(behind([259, ...octopus], [259, 261])).toBe(' onea');
    // Half a character cannot be gone on behind.
    expect(behind(octopus.slice(0, 2), octopus.slice(2))).toBe('\uFFFD\uFFFD');
  });

  test('are known by the bytes that they have inside of a text', () => {
    const texts: Record<number, string> = {
      259: ' one',
      260: ' two',
      261: 'a',
      262: 'é',
      263: ' ',
      264: '<|end|>',
      9999: '',
    };
    for (const [id, text] of Object.entries(texts)) {
      expect([id, bytesOf(tokenizer, Number(id))]).toEqual([id, [...Buffer.from(text)]]);
    }
    expect(bytesOf(tokenizer, byte(0xe2))).toEqual([0xe2]);
    // The same a second time.
    expect(bytesOf(tokenizer, 259)).toEqual([...Buffer.from(' one')]);
  });
});

/** The first string to be complete, and of several the longest. */
function oracle(text: string, stops: readonly string[], includeStop: boolean): string {
  const hits = stops
    .map((stop) => ({ start: text.indexOf(stop), stop }))
    .filter(({ start }) => start >= 0)
    .map(({ start, stop }) => ({ start, end: start + stop.length }))
    .sort((a, b) => a.end - b.end || a.start - b.start);
  const [hit] = hits;
  return hit ? text.slice(0, includeStop ? hit.end : hit.start) : text;
}

const letters = (max: number, min = 0): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: min, maxLength: max });

describe('stop strings', () => {
  test('are found as in the whole text, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(letters(6)),
        fc.array(letters(5, 1), { maxLength: 4 }),
        fc.boolean(),
        (pieces, stops, includeStop) => {
          const matcher = new StopMatcher(stops, { includeStop });
          let shown = '';
          let seen = '';
          let stopped = false;
          for (const piece of pieces) {
            seen += piece;
            const result = matcher.push(piece);
            shown += result.text;
            stopped = result.stopped;
            if (stopped) break;
            // Held back is a beginning of a stop string, and no longer one would be possible.
            const held = seen.slice(shown.length);
            expect(
              stops.some((stop) => stop !== held && stop.startsWith(held)) || held === '',
            ).toBe(true);
          }
          if (!stopped) shown += matcher.flush();
          const text = pieces.join('');
          expect(shown).toBe(oracle(text, stops, includeStop));
          expect(stopped).toBe(stops.some((stop) => text.includes(stop)));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('nothing is held back that cannot become a match', () => {
    const matcher = new StopMatcher(['###'], { includeStop: false });
    expect(matcher.push('a#b##')).toEqual({ text: 'a#b', stopped: false, stop: null });
    expect(matcher.push('c')).toEqual({ text: '##c', stopped: false, stop: null });
  });
});

const files = (): Record<string, unknown> => ({
  'config.json': { vocab_size: 260, eos_token_id: 2 },
  'tokenizer.json': byteLevelTokenizer(),
  'tokenizer_config.json': {
    ...CONFIG,
    eos_token: { content: '<|end|>' },
    bos_token: '<s>',
    chat_template: "{{ bos_token }}{% for m in messages %}[{{ m['content'] }}]{% endfor %}",
  },
  'generation_config.json': {
    eos_token_id: [2, 3],
    do_sample: true,
    temperature: 0.6,
    top_p: 0.9,
    top_k: 20,
    min_p: null,
    repetition_penalty: 1.05,
    max_new_tokens: 512,
  },
});

describe('a model directory', () => {
  test('gives ends of text from all places, defaults and the template', async () => {
    const model = await loadServedModel(await writeModelDir(files()), ['a', 'b']);
    expect(model.names).toEqual(['a', 'b']);
    expect(model.eosTokenIds).toEqual([2, 3, 258]);
    expect(model.defaultSampling).toMatchObject({
      temperature: 0.6,
      topP: 0.9,
      topK: 20,
      minP: 0,
      typicalP: 1,
      repetitionPenalty: 1.05,
    });
    expect(model.defaultMaxTokens).toBe(512);
    expect(model.chatTemplate?.render([{ role: 'user', content: 'x' }])).toBe('<s>[x]');
  });

  test('without do_sample, the sampling defaults are not used', async () => {
    const dir = await writeModelDir({
      ...files(),
      'generation_config.json': { do_sample: false, temperature: 0.6, top_k: 5 },
      'chat_template.jinja': 'file',
    });
    const model = await loadServedModel(dir, []);
    expect(model.defaultSampling).toMatchObject({ temperature: 1, topK: 0 });
    expect(model.defaultMaxTokens).toBeNull();
    expect(model.chatTemplate?.render([])).toBe('file');
  });

  test.each([
    ['config.json', undefined, 'model_file_missing', /no config\.json, and no genai_config\.json/],
    ['tokenizer.json', undefined, 'model_file_missing', /no tokenizer\.json/],
    ['tokenizer_config.json', undefined, 'model_file_missing', /no tokenizer_config\.json/],
    ['tokenizer.json', '{"model":', 'model_file_corrupt', /tokenizer\.json is not valid JSON/],
    [
      'tokenizer.json',
      { model: 5 },
      'model_file_corrupt',
      /tokenizer\.json at \/model must be object/,
    ],
    [
      'tokenizer.json',
      { model: { type: 'Odd', vocab: {} } },
      'model_unsupported',
      /tokenizer\.json: model: Odd is not supported/,
    ],
    ['generation_config.json', { eos_token_id: 'x' }, 'model_file_corrupt', /eos_token_id/],
    [
      'chat_template.jinja',
      '{% for %}',
      'model_file_corrupt',
      /chat_template\.jinja does not parse/,
    ],
  ])('%s as %j is refused by name', async (name, content, kind, message) => {
    const { [name]: _, ...others } = files();
    const dir = await writeModelDir(
      content === undefined ? others : { ...others, [name]: content },
    );
    await expect(loadServedModel(dir, [])).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(message) as string,
    });
  });

  test('a template that refuses is an error of the request', () => {
    const template = new ChatTemplate("{{ raise_exception('roles must alternate') }}", 'x', {
      bosToken: '',
      eosToken: '',
    });
    expect(() => template.render([])).toThrow(/refuses the messages: roles must alternate/);
  });
});
