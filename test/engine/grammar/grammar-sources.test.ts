import { fileURLToPath } from 'node:url';
import { GRAMMAR_DEFAULTS, GrammarPool } from '../../../engine/grammar/grammar-pool.js';
import { readTokenBytes } from '../../../engine/text/tokenizer/vocabulary.js';
import type { TokenId } from '../../../scheduler/ids.js';
import { describeGrammarSource } from '../../conformance/grammar-source.js';
import { ChoiceGrammars } from '../../support/choice-grammars.js';

const modelDir = fileURLToPath(new URL('../../../models/octavo-tiny', import.meta.url));
const vocabSize = 2048;
const bytes = await readTokenBytes(modelDir, vocabSize);
const vocabulary = bytes.map((token) => Buffer.from(token).toString());
const eos = 2 as TokenId;

describeGrammarSource('the pool of threads', {
  vocabulary,
  eos,
  create: () => new GrammarPool({ ...GRAMMAR_DEFAULTS, modelDir, vocabSize }),
});

describeGrammarSource("the tests' own, in this thread", {
  vocabulary,
  eos,
  create: () => new ChoiceGrammars(vocabulary),
});
