import { readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { characterOf } from '../text/byte-level.js';
import { toSymbols } from './language/bytes.js';

/**
 * The parts of the grammar library (Dong et al. 2024, XGrammar; WebAssembly) that are used. Its own
 * declarations claim an ES module, which the file is not.
 *
 * It is compiled without C++ exceptions: any error inside aborts the instance, which is then
 * unusable. Each thread has one instance.
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
      /** Must not be empty. */
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
  /** Takes the last tokens back. Aborts for more tokens than it has accepted. */
  rollBack(numTokens: number): void;
  /** Returns a copy; bit `t & 31` of word `t >>> 5` is token `t`. Aborts after a stop token. */
  getNextTokenBitmask(): Promise<Int32Array>;
  /** The text that must come next, in the library's symbols; empty where there is a choice. */
  findJumpForwardString(): string;
  /** Whether the text may end here, for a matcher that terminates without a stop token. */
  isTerminated(): boolean;
  /** For tests. */
  _acceptString(text: string): boolean;
}

/**
 * Loads the library. The package states `"type": "module"` but ships UMD, so neither `import` nor
 * `require` can load it: the file is compiled as CommonJS here.
 */
export function loadXgrammar(): Xgrammar {
  const file = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const module = new Module(file) as Module & { _compile(source: string, file: string): void };
  module._compile(readFileSync(file, 'utf8'), file);
  return module.exports as Xgrammar;
}

/**
 * Captures the instance's memory when the library creates it, at its first call: there is no other
 * way to read its size.
 *
 * @returns a function that returns the size in bytes; 0 before the memory exists
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
 * The bytes of tokens, in the library's symbols and its byte-level notation. 0xff occurs in no
 * text, and its symbols are used for DEL.
 *
 * @param tokens bytes by token id; an empty one is never allowed
 */
export const encodeVocabulary = (tokens: readonly Uint8Array[]): string[] =>
  tokens.map((bytes) =>
    toSymbols(bytes.includes(0xff) ? NOTHING : bytes)
      .map(characterOf)
      .join(''),
  );
