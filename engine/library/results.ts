import type { ChoiceDelta } from '../generation/generate-text.js';
import type { MessageEvent } from '../generation/message-reader.js';

/** Numbers of tokens of a request. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly totalTokens: number;
  /** Prompt tokens whose keys and values were cached. */
  readonly cachedTokens: number;
  /** Completion tokens that are reasoning. */
  readonly reasoningTokens: number;
}

/** A call that the model makes, in OpenAI's form. */
export interface ToolCall {
  readonly id: string;
  readonly type: 'function';
  /** Arguments are JSON text, exactly as the model wrote it. */
  readonly function: { readonly name: string; readonly arguments: string };
}

export type FinishReason = 'stop' | 'length' | 'tool_calls';

/** New output of a prompt. */
export interface GeneratePart {
  /** Index of the prompt. */
  readonly index: number;
  readonly text: string;
}

/** A new part of an answer. */
export interface ChatPart {
  /** May be empty when the part holds only reasoning or pieces of a call. */
  readonly text: string;
  readonly reasoning: string;
  /** Calls that this part completes. */
  readonly toolCalls: readonly ToolCall[];
}

export interface GenerateResult {
  readonly text: string;
  readonly finishReason: 'stop' | 'length';
  /** The stop text or the request's stop token that ended it; null when neither did. */
  readonly stopReason: string | number | null;
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

/** Assembles one output from its parts. */
export class OutputCollector {
  readonly #promptTokens: number;
  readonly #newCallId: () => string;
  #text = '';
  #reasoning = '';
  #calls: ToolCall[] = [];
  #open: { name: string; arguments: string } | null = null;
  #finishReason: 'stop' | 'length' | null = null;
  #stopReason: string | number | null = null;
  #tokens = 0;
  #reasoningTokens = 0;
  #cachedTokens = 0;

  constructor(promptTokens: number, newCallId: () => string) {
    this.#promptTokens = promptTokens;
    this.#newCallId = newCallId;
  }

  /** @returns what is new */
  take(output: ChoiceDelta): ChatPart {
    this.#tokens += output.tokens;
    this.#reasoningTokens += output.reasoningTokens;
    this.#cachedTokens = output.cachedTokens;
    if (output.finishReason !== null) {
      this.#finishReason = output.finishReason;
      this.#stopReason = output.stopReason;
    }
    const [length, reasoned, calls] = [
      this.#text.length,
      this.#reasoning.length,
      this.#calls.length,
    ];
    for (const event of output.events) this.#read(event);
    return {
      text: this.#text.slice(length),
      reasoning: this.#reasoning.slice(reasoned),
      toolCalls: this.#calls.slice(calls),
    };
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

  generated(): GenerateResult {
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
      usage,
    };
  }

  said(): ChatResult {
    const plain = this.generated();
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
