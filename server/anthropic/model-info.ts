/** A model as Anthropic's API describes it. */
export interface ModelInfo {
  readonly id: string;
  readonly type: 'model';
  readonly display_name: string;
  readonly created_at: string;
  /** Null for a model that was not loaded yet. */
  readonly max_input_tokens: number | null;
  readonly max_tokens: number | null;
  readonly lifecycle: 'active';
  readonly capabilities: null;
  readonly line: null;
  readonly deprecated_at: null;
  readonly retires_at: null;
}

/** @param created seconds since 1970 */
export function toModelInfo({
  id,
  created,
  max_model_len: maxModelLength,
}: {
  readonly id: string;
  readonly created: number;
  readonly max_model_len: number | null;
}): ModelInfo {
  return {
    id,
    type: 'model',
    display_name: id,
    created_at: new Date(created * 1000).toISOString(),
    max_input_tokens: maxModelLength,
    max_tokens: maxModelLength,
    lifecycle: 'active',
    capabilities: null,
    line: null,
    deprecated_at: null,
    retires_at: null,
  };
}

/** All of them on one page. */
export const modelPage = (data: readonly ModelInfo[]): object => ({
  data,
  has_more: false,
  first_id: data[0]?.id ?? null,
  last_id: data.at(-1)?.id ?? null,
});
