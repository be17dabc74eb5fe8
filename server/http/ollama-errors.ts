/**
 * Whether a client expects answers as Ollama's API words them.
 *
 * @param url path and query
 */
export function speaksOllama({ url }: { readonly url?: string | undefined }): boolean {
  return url?.startsWith('/api/') === true;
}

/** An error as clients of Ollama's API receive it. */
export interface OllamaErrorBody {
  readonly error: string;
}
