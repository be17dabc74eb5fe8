import type { TokenId } from '../../../scheduler/ids.js';
import type { TemplateSource } from '../../text/chat-template.js';
import type { PromptText, Span } from '../../text/spans.js';
import type { MessageOptions } from '../chat-messages.js';
import type { Message } from '../message.js';

/** Data with which a prompt thread is started. */
export interface PromptThreadData {
  /** Directory of tokenizer.json. */
  readonly modelDir: string;
  readonly template: TemplateSource | null;
  /** For templates of requests. */
  readonly templateTokens: TemplateSource['tokens'];
  readonly controlTokens: readonly TokenId[];
}

/** A conversation for the chat template. */
export interface Conversation {
  readonly messages: readonly Message[];
  readonly options: MessageOptions;
}

export type PromptWork =
  /** As JSON: a structured clone of many small values takes several times as long. */
  | {
      readonly kind: 'render';
      readonly conversation: string;
      /** Whether the conversation has a template of its own. */
      readonly hasTemplate: boolean;
    }
  | {
      readonly kind: 'encode';
      readonly prompt: PackedPrompt;
      readonly addSpecialTokens: boolean;
      /** Request field of the text, for errors. */
      readonly param: string;
    };

export type PromptResult =
  | { readonly kind: 'render'; readonly prompt: PackedPrompt }
  | { readonly kind: 'encode'; readonly tokenIds: Uint32Array };

/** A `PromptText` whose spans are one array, `[start, end, start, end, ...]`. */
export interface PackedPrompt {
  readonly text: string;
  readonly client: Uint32Array;
}

export function packPrompt({ text, client }: PromptText): PackedPrompt {
  const packed = new Uint32Array(2 * client.length);
  for (const [index, { start, end }] of client.entries()) packed.set([start, end], 2 * index);
  return { text, client: packed };
}

export function unpackPrompt({ text, client }: PackedPrompt): PromptText {
  const spans = Array.from(
    { length: client.length / 2 },
    (_, index): Span => ({ start: client[2 * index], end: client[2 * index + 1] }),
  );
  return { text, client: spans };
}
