import { readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { characterOf } from '../text/byte-level.js';
import { toSymbols } from './language/bytes.js';

/**
 * The grammar library (Dong et al. 2024, XGrammar; WebAssembly). The parts of it that are used; its
 * own declarations claim an ES module, and the file is none.
 *
 * Its C++ exceptions are compiled away: whatever goes wrong inside aborts the instance, which must
 * then be thrown away. There is one instance in a thread.
 */
export interface Xgrammar {
  readonly TokenizerInfo: {
    createTokenizerInfo(
      encodedVocab: readonly string[],
      vocabType: 'byte_level',
      prependSpaceInTokenization: boolean,
      vocabSize: number,
      stopTokenIds: readonly number[],
    ): Promise<Disposable>;
  };
  readonly GrammarCompiler: {
    createGrammarCompiler(tokenizerInfo: Disposable, cacheEnabled: boolean): Promise<Compiler>;
  };
  readonly GrammarMatcher: {
    createGrammarMatcher(
      grammar: Disposable,
      /** Not empty. */
      overrideStopTokens: readonly number[] | undefined,
      terminateWithoutStopToken: boolean,
    ): Promise<Matcher>;
  };
}

interface Disposable {
  dispose(): void;
}

export type CompiledGrammar = Disposable;

export interface Compiler extends Disposable {
  /** @param grammar EBNF text */
  compileGrammar(grammar: string): Promise<CompiledGrammar>;
}

export interface Matcher extends Disposable {
  /** @returns false, with nothing changed, when the grammar does not allow the token */
  acceptToken(tokenId: number): boolean;
  /** Takes its last tokens back. More than it has taken: that aborts. */
  rollBack(numTokens: number): void;
  /** A copy; bit `t & 31` of word `t >>> 5` is token `t`. Not after a stop token: that aborts. */
  getNextTokenBitmask(): Promise<Int32Array>;
  /** Whether the text may end here, for a matcher that terminates without a stop token. */
  isTerminated(): boolean;
  /** For tests. */
  _acceptString(text: string): boolean;
}

/**
 * Loads the library. The package says `"type": "module"` and ships UMD, so neither `import` nor
 * `require` reads it: the file is compiled as CommonJS here.
 */
export function loadXgrammar(): Xgrammar {
  const file = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const module = new Module(file) as Module & { _compile(source: string, file: string): void };
  module._compile(readFileSync(file, 'utf8'), file);
  return module.exports as Xgrammar;
}

/**
 * Catches the instance's memory as the library makes it, which it does with its first call: how
 * much is in use cannot be seen otherwise.
 *
 * @returns bytes of the memory; 0 before the library has made it
 */
export function watchMemory(): () => number {
  const host = WebAssembly as unknown as Instantiator;
  const { instantiate } = host;
  let memory: WebAssembly.Memory | undefined;
  host.instantiate = async (...source) => {
    const result = await instantiate(...source);
    for (const value of Object.values(result.instance.exports)) {
      if (value instanceof WebAssembly.Memory) memory = value;
    }
    return result;
  };
  return () => memory?.buffer.byteLength ?? 0;
}

interface Instantiator {
  instantiate: (...source: unknown[]) => Promise<{ readonly instance: WebAssembly.Instance }>;
}

const NOTHING = new Uint8Array(0);

/**
 * What tokens write, in the library's symbols and in its byte-level notation. 0xff is in no text,
 * and its symbols are DEL's.
 *
 * @param tokens by id; empty: never allowed
 */
export const encodeVocabulary = (tokens: readonly Uint8Array[]): string[] =>
  tokens.map((bytes) =>
    toSymbols(bytes.includes(0xff) ? NOTHING : bytes)
      .map(characterOf)
      .join(''),
  );
