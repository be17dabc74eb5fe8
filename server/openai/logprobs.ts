import type { ScoredToken } from '../../engine/generation/held-tokens.js';
import type { TokenLogprobs } from '../../engine/protocol/outputs.js';
import type { Tokenizer } from '../../engine/text/tokenizer.js';
import type { TokenId } from '../../scheduler/ids.js';

/** JSON has no -Infinity; this is what OpenAI writes for it. */
const MINUS_INFINITY = -9999;

/** The column form of plain completions, one entry a token. */
export interface CompletionLogprobs {
  readonly text_offset: readonly number[];
  readonly tokens: readonly string[];
  /** Null for the first token of a prompt: nothing comes before it. */
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
}

/** A token of a text; without `logprobs` where nothing comes before it. */
export type PlacedToken = Omit<ScoredToken, 'logprobs'> & Partial<ScoredToken>;

/** Writes log-probabilities in the forms of OpenAI and vLLM. */
export class LogprobWriter {
  readonly #tokenizer: Tokenizer;
  readonly #asIds: boolean;

  /** @param options `asIds` names tokens as `token_id:7`, for clients that need them exactly */
  constructor(tokenizer: Tokenizer, options: { asIds: boolean }) {
    this.#tokenizer = tokenizer;
    this.#asIds = options.asIds;
  }

  /** @param top how many of the likeliest tokens are shown at each place */
  chat(tokens: readonly ScoredToken[], top: number): object {
    return { content: this.list(tokens, top), refusal: null };
  }

  /** The same, for responses. */
  list(tokens: readonly ScoredToken[], top: number): object[] {
    return tokens.map(({ id, logprobs }) => ({
      ...this.#chatToken(id, logprobs.logprob),
      top_logprobs: logprobs.topIds
        .slice(0, top)
        .map((topId, rank) => this.#chatToken(topId, logprobs.topLogprobs[rank])),
    }));
  }

  completion(tokens: readonly PlacedToken[], top: number): CompletionLogprobs {
    return {
      text_offset: tokens.map(({ offset }) => offset),
      tokens: tokens.map(({ id }) => this.#name(id)),
      token_logprobs: tokens.map(({ logprobs }) => (logprobs ? finite(logprobs.logprob) : null)),
      top_logprobs: tokens.map(({ id, logprobs }) =>
        logprobs ? this.#topByName(id, logprobs, top) : null,
      ),
    };
  }

  /**
   * vLLM's form: for each token of the prompt an object by token ids, null for the first.
   *
   * @param logprobs of each token but the first
   */
  prompt(
    ids: readonly TokenId[],
    logprobs: readonly TokenLogprobs[],
    top: number,
  ): (object | null)[] {
    return [null, ...logprobs.map((scores, i) => this.#promptToken(ids[i + 1], scores, top))];
  }

  #promptToken(
    id: TokenId,
    { logprob, topIds, topLogprobs }: TokenLogprobs,
    top: number,
  ): Record<TokenId, object> {
    const entry = (token: TokenId, value: number, rank: number | null): [TokenId, object] => [
      token,
      { logprob: finite(value), rank, decoded_token: this.#textOf(token) },
    ];
    const rank = topIds.indexOf(id);
    return Object.fromEntries([
      // Its rank is known only among the likeliest.
      entry(id, logprob, rank < 0 ? null : rank + 1),
      ...topIds.slice(0, top).map((topId, i) => entry(topId, topLogprobs[i], i + 1)),
    ]);
  }

  #chatToken(id: TokenId, logprob: number): object {
    return {
      token: this.#name(id),
      logprob: finite(logprob),
      bytes: [...this.#tokenizer.bytesOf(id)],
    };
  }

  /**
   * The likeliest tokens and the one that was chosen. Of tokens that read alike (parts of
   * characters) the chosen one stays, or the likeliest.
   */
  #topByName(
    id: TokenId,
    { logprob, topIds, topLogprobs }: TokenLogprobs,
    top: number,
  ): Record<string, number> {
    const byName = new Map([[this.#name(id), finite(logprob)]]);
    for (let i = 0; i < Math.min(top, topIds.length); i++) {
      const name = this.#name(topIds[i]);
      if (!byName.has(name)) byName.set(name, finite(topLogprobs[i]));
    }
    return Object.fromEntries(byName);
  }

  #name(id: TokenId): string {
    return this.#asIds ? `token_id:${id}` : this.#textOf(id);
  }

  /** Parts of characters read as U+FFFD. */
  #textOf(id: TokenId): string {
    return Buffer.from(this.#tokenizer.bytesOf(id)).toString('utf8');
  }
}

function finite(logprob: number): number {
  return logprob === Number.NEGATIVE_INFINITY ? MINUS_INFINITY : logprob;
}
