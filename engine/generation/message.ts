export interface CallOfMessage {
  readonly id?: string;
  readonly type?: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

/** An image as OpenAI's clients send it. */
export interface ImageUrlPart {
  readonly type: 'image_url';
  readonly image_url: string | { readonly url: string };
  /** Where the request has it, for errors; absent: its place in the messages. */
  readonly at?: string;
}

/** An image that was read. */
export interface ImagePart {
  readonly type: 'image';
}

/** A message of any role: the union of the forms that the schema allows. */
export interface Message {
  /** One of OpenAI's, or another one that the model's chat template writes. */
  readonly role: string;
  readonly content?:
    | string
    | readonly (
        | { readonly type: 'text'; readonly text: string }
        | { readonly type: 'refusal'; readonly refusal: string }
        | ImageUrlPart
        | ImagePart
      )[]
    | null;
  readonly refusal?: string | null;
  readonly name?: string | null;
  readonly tool_call_id?: string | null;
  tool_calls?: readonly CallOfMessage[] | null;
  readonly function_call?: CallOfMessage['function'] | null;
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
}
