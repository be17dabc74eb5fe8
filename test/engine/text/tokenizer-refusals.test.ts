import { expect, test } from 'vitest';
import { loadTokenizer } from '../../../engine/text/hf-tokenizer.js';
import { modelDir } from '../../support/model-dir.js';
import { byteLevelTokenizer } from '../../support/tiny-tokenizers.js';

const model = (changes: object): object => ({
  model: { type: 'BPE', vocab: { a: 0 }, merges: [], ...changes },
});

const decoder = (...decoders: object[]): object => ({ decoder: { type: 'Sequence', decoders } });

const template = (...single: object[]): object => ({
  post_processor: { type: 'TemplateProcessing', single, special_tokens: {} },
});

// Each would give wrong tokens, or a wrong text, if it were passed over.
test.each([
  [{ normalizer: { type: 'ByteLevel' } }, 'normalizer: ByteLevel is not supported'],
  [{ normalizer: {} }, 'normalizer must be an object with a type'],
  [
    { normalizer: { type: 'Precompiled', precompiled_charsmap: 'CAAAAA==' } },
    'normalizer: Precompiled with a table of wrong size is not supported',
  ],
  [{ pre_tokenizer: { type: 'UnicodeScripts' } }, 'pre_tokenizer: UnicodeScripts is not supported'],
  [
    { pre_tokenizer: { type: 'Split', pattern: { Regex: '(?<a' }, behavior: 'Isolated' } },
    'pre_tokenizer: Split with the pattern (?<a is not supported',
  ],
  [
    { pre_tokenizer: { type: 'Split', pattern: { String: 'a' }, behavior: 'Odd' } },
    'pre_tokenizer: Split with the behavior Odd is not supported',
  ],
  [
    { pre_tokenizer: { type: 'Split' } },
    'pre_tokenizer: Split.pattern must be a String or a Regex',
  ],
  [
    { pre_tokenizer: { type: 'Metaspace', prepend_scheme: 'odd' } },
    'pre_tokenizer: Metaspace with the prepend_scheme odd is not supported',
  ],
  [
    {
      normalizer: { type: 'StripAccents' },
      pre_tokenizer: { type: 'Metaspace', prepend_scheme: 'first' },
    },
    'normalizer: StripAccents before a Metaspace that marks the first word only is not supported',
  ],
  [model({ dropout: 0.1 }), 'model: BPE with dropout is not supported'],
  [model({ end_of_word_suffix: '</w>' }), 'model: BPE with end_of_word_suffix is not supported'],
  [
    model({ continuing_subword_prefix: '##' }),
    'model: BPE with continuing_subword_prefix is not supported',
  ],
  [
    model({ type: 'Unigram', vocab: [['a', 0]], unk_id: null }),
    'model: Unigram without unk_id is not supported',
  ],
  [model({ type: 'WordLevel' }), 'model: WordLevel is not supported'],
  [{ decoder: { type: 'CTC' } }, 'decoder: CTC is not supported'],
  [{ decoder: { type: 'BPEDecoder' } }, 'decoder: BPEDecoder is not supported'],
  [
    decoder({ type: 'Fuse' }, { type: 'Strip', content: ' ', start: 0, stop: 1 }),
    'decoder: Strip behind Fuse is not supported',
  ],
  [
    decoder({ type: 'ByteFallback' }, { type: 'Replace', pattern: { String: 'a' }, content: '' }),
    'decoder: Replace behind ByteFallback is not supported',
  ],
  [
    template({ Sequence: { id: 'A' } }, { SpecialToken: { id: '<s>' } }),
    'post_processor: TemplateProcessing without ids for <s> is not supported',
  ],
  [
    template({ Sequence: { id: 'A' } }, { Sequence: { id: 'A' } }),
    'post_processor: TemplateProcessing that repeats the text is not supported',
  ],
])('%j is refused in one line', async (parts, message) => {
  const dir = modelDir({ 'tokenizer.json': JSON.stringify({ ...byteLevelTokenizer(), ...parts }) });
  await expect(loadTokenizer(dir)).rejects.toThrow(`${dir}/tokenizer.json: ${message}`);
});
