interface Common {
  readonly id: string;
  readonly status: 'in_progress' | 'completed' | 'incomplete';
}

export interface TextPart {
  readonly type: 'input_text' | 'output_text';
  readonly text: string;
}

export interface ImagePart {
  readonly type: 'input_image';
  readonly image_url: string;
  readonly detail: 'auto' | 'low' | 'high' | 'original';
}

/** What a tool has given back: a text; with images, parts in their order. */
export type ToolOutput = string | readonly (TextPart | ImagePart)[];

export interface OutputTextPart extends TextPart {
  readonly type: 'output_text';
  readonly annotations: readonly never[];
  readonly logprobs: readonly object[];
}

export interface MessageItem<Part extends TextPart | ImagePart = TextPart | ImagePart>
  extends Common {
  readonly type: 'message';
  readonly role: 'user' | 'assistant' | 'system' | 'developer';
  readonly content: readonly Part[];
}

export interface FunctionCallItem extends Common {
  readonly type: 'function_call';
  readonly call_id: string;
  readonly name: string;
  /** JSON, as the model wrote it. */
  readonly arguments: string;
}

export interface FunctionCallOutputItem extends Common {
  readonly type: 'function_call_output';
  readonly call_id: string;
  readonly output: ToolOutput;
}

export interface CustomToolCallItem extends Common {
  readonly type: 'custom_tool_call';
  readonly call_id: string;
  readonly name: string;
  /** Any text. */
  readonly input: string;
}

export interface CustomToolCallOutputItem extends Common {
  readonly type: 'custom_tool_call_output';
  readonly call_id: string;
  readonly output: ToolOutput;
}

export interface ReasoningItem extends Common {
  readonly type: 'reasoning';
  readonly summary: readonly never[];
  readonly content: readonly { readonly type: 'reasoning_text'; readonly text: string }[];
}

export type OutputItem =
  | (MessageItem<OutputTextPart> & { readonly role: 'assistant' })
  | FunctionCallItem
  | CustomToolCallItem
  | ReasoningItem;

/**
 * One thing that was said in a conversation, in OpenAI's form; never changed once it is complete.
 */
export type Item =
  | MessageItem
  | FunctionCallItem
  | FunctionCallOutputItem
  | CustomToolCallItem
  | CustomToolCallOutputItem
  | ReasoningItem;

export function outputText(text: string, logprobs: readonly object[] = []): OutputTextPart {
  return { type: 'output_text', text, annotations: [], logprobs };
}
