export interface CallOfMessage {
  readonly id?: string;
  readonly type?: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
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
