import { hash } from 'node:crypto';
import type { BlockHash } from '../../kvcache/ids.js';

export const BLOCK_SIZE = 16;

/**
 * Tokens that belong together, such as a document: those of one name are the same wherever they
 * stand.
 */
export interface Segment {
  readonly name: string;
  readonly tokens: number;
}

/** A request as the cache sees it. */
export interface TraceRequest {
  /** Of prompt and answer. */
  readonly hashes: readonly BlockHash[];
  readonly promptTokens: number;
  readonly tokens: number;
  /** `prompt_cache_key`. */
  readonly key: string | null;
}

export interface Trace {
  readonly name: string;
  readonly about: string;
  readonly requests: readonly TraceRequest[];
  /** Different full blocks in all requests. */
  readonly contents: number;
}

/** Collects a trace's requests; hashes are chains over what each block holds. */
export class TraceBuilder {
  readonly #requests: TraceRequest[] = [];
  readonly #hashes = new Map<string, BlockHash>();

  add(prompt: readonly Segment[], answer: Segment, key: string | null = null): void {
    const promptTokens = prompt.reduce((sum, { tokens }) => sum + tokens, 0);
    // The last token is chosen, but never computed.
    const tokens = promptTokens + answer.tokens - 1;
    const hashes = this.#chain([...prompt, answer], tokens);
    this.#requests.push({ hashes, promptTokens, tokens, key });
  }

  build(name: string, about: string): Trace {
    return { name, about, requests: this.#requests, contents: this.#hashes.size };
  }

  #chain(segments: readonly Segment[], tokens: number): BlockHash[] {
    const hashes: BlockHash[] = [];
    let parent = 'root';
    let segment = 0;
    let offset = 0;
    for (let block = 0; (block + 1) * BLOCK_SIZE <= tokens; block++) {
      let pieces = '';
      for (let left = BLOCK_SIZE; left > 0; ) {
        const { name, tokens: length } = segments[segment];
        const taken = Math.min(left, length - offset);
        pieces += `${name}:${offset}:${taken};`;
        left -= taken;
        offset += taken;
        if (offset === length) {
          segment += 1;
          offset = 0;
        }
      }
      const id = `${parent}${pieces}`;
      const known = this.#hashes.get(id) ?? (hash('sha256', id, 'base64') as BlockHash);
      this.#hashes.set(id, known);
      hashes.push(known);
      parent = known;
    }
    return hashes;
  }
}
