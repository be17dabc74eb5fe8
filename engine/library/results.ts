import type { TokenId } from '../../scheduler/ids.js';
import type { FinishReason as SequenceFinishReason } from '../../scheduler/step-plan.js';
import type { ScoredToken } from '../generation/held-tokens.js';
import type { MessageEvent } from '../generation/message-reader.js';
import type { ChoiceDelta } from '../generation/visible-text.js';
import type { Tokenizer } from '../text/tokenizer.js';

/** Numbers of tokens of a request. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly totalTokens: number;
  /** Prompt tokens whose keys and values were cached. */
  readonly cachedTokens: number;
  /** Tokens of the output that are reasoning. */
  readonly reasoningTokens: number;
}

/** A call that the model makes, in OpenAI's form. */
export interface ToolCall {
  readonly id: string;
  readonly type: 'function';
  /** Arguments are JSON text, exactly as the model wrote it. */
  readonly function: { readonly name: string; readonly arguments: string };
}

export type FinishReason = SequenceFinishReason | 'tool_calls';

/**
 * A token and its log-probability in the model's own distribution, before biases, penalties and
 * temperature.
 */
export interface LikelyToken {
  readonly tokenId: number;
  /** With U+FFFD for a part of a character. */
  readonly text: string;
  readonly logprob: number;
}

/** A token of an output, with the most likely tokens at its position. */
export interface TokenLogprob extends LikelyToken {
  /** As many as the option `logprobs` states, in falling order. */
  readonly top: readonly LikelyToken[];
}

/** New output of a prompt. */
export interface GeneratePart {
  /** Index of the prompt. */
  readonly index: number;
  /** Which of the `n` outputs of that prompt. */
  readonly choice: number;
  /** May be empty, when there are only log-probabilities. */
  readonly text: string;
  /** Tokens generated since this output's part before. */
  readonly tokens: number;
  /** Of the tokens whose text begins in `text`; absent unless asked for. */
  readonly logprobs?: readonly TokenLogprob[];
}

/** A new part of an answer. */
export interface ChatPart {
  /** Which of the `n` answers it is of. */
  readonly choice: number;
  /** May be empty when the part holds only reasoning or pieces of a call. */
  readonly text: string;
  /** Tokens generated since this answer's part before. */
  readonly tokens: number;
  readonly reasoning: string;
  /** Calls that this part completes. */
  readonly toolCalls: readonly ToolCall[];
  /** Of new tokens, those of reasoning and calls too; absent unless asked for. */
  readonly logprobs?: readonly TokenLogprob[];
}

/** What is new in any choice of any prompt. */
export interface ChoicePart extends ChatPart {
  readonly prompt: number;
}

export interface GenerateResult {
  readonly text: string;
  readonly finishReason: SequenceFinishReason;
  /** The stop text or the request's stop token that ended it; null when neither did. */
  readonly stopReason: string | number | null;
  /** Of each token; null unless asked for. */
  readonly logprobs: readonly TokenLogprob[] | null;
  /** With `n`, each output counts the prompt that they share. */
  readonly usage: Usage;
}

/** The model's message, to append to the conversation. */
export interface AssistantMessage {
  readonly role: 'assistant';
  readonly content: string | null;
  readonly tool_calls?: readonly ToolCall[];
}

export interface ChatResult extends Omit<GenerateResult, 'finishReason'> {
  readonly finishReason: FinishReason;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCall[];
  readonly message: AssistantMessage;
}

/** Assembles one choice from its parts. */
export class OutputCollector {
  readonly #promptTokens: number;
  readonly #newCallId: () => string;
  readonly #tokenizer: Pick<Tokenizer, 'decode'>;
  readonly #logprobs: TokenLogprob[] | null;
  #text = '';
  #reasoning = '';
  #calls: ToolCall[] = [];
  #open: { name: string; arguments: string } | null = null;
  #finishReason: SequenceFinishReason | null = null;
  #stopReason: string | number | null = null;
  #tokens = 0;
  /** Tokens that no part has counted yet. */
  #uncounted = 0;
  #reasoningTokens = 0;
  #cachedTokens = 0;

  constructor(options: {
    readonly promptTokens: number;
    readonly newCallId: () => string;
    readonly tokenizer: Pick<Tokenizer, 'decode'>;
    readonly hasLogprobs: boolean;
  }) {
    this.#promptTokens = options.promptTokens;
    this.#newCallId = options.newCallId;
    this.#tokenizer = options.tokenizer;
    this.#logprobs = options.hasLogprobs ? [] : null;
  }

  /** @returns the new part; null when there is nothing to show yet */
  take(delta: ChoiceDelta): Omit<ChatPart, 'choice'> | null {
    this.#tokens += delta.tokens;
    this.#uncounted += delta.tokens;
    this.#reasoningTokens += delta.reasoningTokens;
    this.#cachedTokens = delta.cachedTokens;
    if (delta.finishReason !== null) {
      this.#finishReason = delta.finishReason;
      this.#stopReason = delta.stopReason;
    }
    const [length, reasoned, calls] = [
      this.#text.length,
      this.#reasoning.length,
      this.#calls.length,
    ];
    for (const event of delta.events) this.#read(event);
    const text = this.#text.slice(length);
    const reasoning = this.#reasoning.slice(reasoned);
    const toolCalls = this.#calls.slice(calls);
    const logprobs = delta.scored.map((token) => this.#scored(token));
    const hasLogprobs = this.#logprobs !== null && logprobs.length > 0;
    if (text === '' && reasoning === '' && toolCalls.length === 0 && !hasLogprobs) return null;
    const tokens = this.#uncounted;
    this.#uncounted = 0;
    this.#logprobs?.push(...logprobs);
    return { text, tokens, reasoning, toolCalls, ...(hasLogprobs && { logprobs }) };
  }

  #scored({ id, logprobs: { logprob, topIds, topLogprobs } }: ScoredToken): TokenLogprob {
    const top = topIds.map((topId, rank) => this.#likely(topId, topLogprobs[rank]));
    return { ...this.#likely(id, logprob), top };
  }

  #likely(tokenId: TokenId, logprob: number): LikelyToken {
    const text = this.#tokenizer.decode([tokenId], { skipSpecialTokens: false });
    return { tokenId, text, logprob };
  }

  #read(event: MessageEvent): void {
    switch (event.kind) {
      case 'content':
        this.#text += event.text;
        break;
      case 'reasoning':
        this.#reasoning += event.text;
        break;
      case 'call':
        this.#open = { name: event.name, arguments: '' };
        break;
      case 'arguments':
        if (this.#open) this.#open.arguments += event.text;
        break;
      case 'end':
        if (this.#open)
          this.#calls.push({ id: this.#newCallId(), type: 'function', function: this.#open });
        this.#open = null;
        break;
    }
  }

  /** @returns all of it, as a text */
  output(): GenerateResult {
    const usage = {
      promptTokens: this.#promptTokens,
      completionTokens: this.#tokens,
      totalTokens: this.#promptTokens + this.#tokens,
      cachedTokens: this.#cachedTokens,
      reasoningTokens: this.#reasoningTokens,
    };
    return {
      text: this.#text,
      finishReason: this.#finishReason ?? 'stop',
      stopReason: this.#stopReason,
      logprobs: this.#logprobs,
      usage,
    };
  }

  /** @returns all of it, as a message */
  message(): ChatResult {
    const plain = this.output();
    const calls = this.#calls;
    const hasCalls = calls.length > 0;
    const isCall = hasCalls && plain.finishReason === 'stop';
    return {
      ...plain,
      finishReason: isCall ? 'tool_calls' : plain.finishReason,
      reasoning: this.#reasoning,
      toolCalls: calls,
      message: {
        role: 'assistant',
        content: plain.text === '' && hasCalls ? null : plain.text,
        ...(hasCalls ? { tool_calls: calls } : {}),
      },
    };
  }
}
