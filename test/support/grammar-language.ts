import type { GrammarSpec } from '../../engine/core/protocol.js';
import { toSymbols } from '../../engine/grammar/language/bytes.js';
import { printGrammar } from '../../engine/grammar/language/print.js';
import { toGrammar } from '../../engine/grammar/to-grammar.js';
import { loadXgrammar, type Xgrammar } from '../../engine/grammar/xgrammar.js';

let library: Xgrammar | null = null;

export type Language = (text: string) => Promise<boolean>;

/** The language of a grammar as the library understands it, without a vocabulary. */
export async function languageOf(spec: GrammarSpec): Promise<Language> {
  const source = printGrammar(toGrammar(spec));
  library ??= loadXgrammar();
  const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = library;
  const info = await TokenizerInfo.createTokenizerInfo([], 'byte_level', false, 0, []);
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
  const compiled = await compiler.compileGrammar(source);
  return async (text) => {
    const symbols = String.fromCharCode(...toSymbols(Buffer.from(text)));
    const matcher = await GrammarMatcher.createGrammarMatcher(compiled, undefined, true);
    try {
      return matcher._acceptString(symbols) && matcher.isTerminated();
    } finally {
      matcher.dispose();
    }
  };
}
