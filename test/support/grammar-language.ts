import { toSymbols } from '../../engine/grammar/language/bytes.js';
import { grammarText } from '../../engine/grammar/to-grammar.js';
import { encodeVocabulary, loadXgrammar, type Xgrammar } from '../../engine/grammar/xgrammar.js';
import type { GrammarSpec } from '../../engine/protocol/request.js';
import { uniform } from '../../engine/sampling/random.js';

let library: Xgrammar | null = null;

export type Language = (text: string) => Promise<boolean>;

/** The language of a grammar as the library understands it, without a vocabulary. */
export async function languageOf(spec: GrammarSpec): Promise<Language> {
  const source = grammarText(spec);
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

/** Bytes as tokens, and an end. */
const END = 256;
const BYTES = encodeVocabulary(
  Array.from({ length: 257 }, (_, byte) => (byte < 256 ? Uint8Array.of(byte) : new Uint8Array(0))),
);

/** Texts of a grammar's language, written byte by byte at random. */
export async function writerOf(
  spec: GrammarSpec,
): Promise<(seed: number, maxBytes: number) => Promise<string | null>> {
  const source = grammarText(spec);
  library ??= loadXgrammar();
  const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = library;
  const info = await TokenizerInfo.createTokenizerInfo(BYTES, 'byte_level', false, 257, [END]);
  const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
  const compiled = await compiler.compileGrammar(source);
  return async (seed, maxBytes) => {
    const matcher = await GrammarMatcher.createGrammarMatcher(compiled, [END], false);
    const bytes: number[] = [];
    try {
      while (bytes.length < maxBytes) {
        const mask = await matcher.getNextTokenBitmask();
        const allowed = Array.from({ length: 257 }, (_, token) => token).filter(
          (token) => (mask[token >>> 5] >>> (token & 31)) & 1,
        );
        if (allowed.length === 0)
          throw new Error(`a dead end after ${Buffer.from(bytes).toString()}`);
        const draw = (n: number): number => uniform(seed, bytes.length * 2 + n);
        // Ends come early, so that most texts are complete.
        const ends = allowed.filter(
          (token) => token === END || '"}]'.includes(String.fromCharCode(token)),
        );
        const from = ends.length > 0 && draw(0) < 0.3 ? ends : allowed;
        const token = from[Math.floor(draw(1) * from.length)];
        matcher.acceptToken(token);
        if (token === END)
          return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
        bytes.push(token);
      }
      return null;
    } finally {
      matcher.dispose();
    }
  };
}
