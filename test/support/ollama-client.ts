type Json = Record<string, unknown>;

/** An answer of Ollama's API, as far as tests read it. */
export interface OllamaAnswer extends Json {
  readonly message: {
    readonly role: string;
    readonly content: string;
    readonly thinking?: string;
    readonly tool_calls?: readonly { readonly function: Json }[];
  };
  readonly response: string;
  readonly done: boolean;
  readonly done_reason: string;
  readonly status: string;
  readonly context: number[];
  readonly created_at: string;
  readonly logprobs?: readonly { readonly top_logprobs: readonly unknown[] }[];
  readonly prompt_eval_count: number;
  readonly eval_count: number;
  readonly eval_duration: number;
  readonly total_duration: number;
  readonly embeddings: number[][];
  readonly embedding: number[];
  readonly models: { name: string; digest: string; size: number; expires_at: string }[];
  readonly template: string;
  readonly capabilities: string[];
  readonly model_info: Json;
  readonly version: string;
}

/** The methods of the official client, with its reading of errors and of lines. */
export class Ollama {
  readonly #host: string;
  readonly #headers: Record<string, string>;

  constructor({ host, headers = {} }: { host: string; headers?: Record<string, string> }) {
    this.#host = host;
    this.#headers = { 'content-type': 'application/json', ...headers };
  }

  readonly chat = (body: Json) => this.#post('chat', body);
  readonly generate = (body: Json) => this.#post('generate', body);
  readonly embed = (body: Json) => this.#post('embed', body);
  readonly embeddings = (body: Json) => this.#post('embeddings', body);
  readonly show = (body: Json) => this.#post('show', body);
  readonly pull = ({ model, ...body }: Json) => this.#post('pull', { name: model, ...body });
  readonly list = () => this.#json('GET', 'tags');
  readonly ps = () => this.#json('GET', 'ps');
  readonly version = () => this.#json('GET', 'version');

  async delete({ model }: Json): Promise<void> {
    await this.#send('DELETE', 'delete', { name: model });
  }

  /** The same, line by line. */
  async *stream(name: 'chat' | 'generate' | 'pull', body: Json): AsyncGenerator<OllamaAnswer> {
    const response = await this.#send('POST', name, { ...body, stream: true });
    for (const line of (await response.text()).trimEnd().split('\n')) {
      const part = JSON.parse(line) as OllamaAnswer & { error?: string };
      if (part.error !== undefined) throw new Error(part.error);
      yield part;
    }
  }

  #post(name: string, body: Json): Promise<OllamaAnswer> {
    return this.#json('POST', name, { stream: false, ...body });
  }

  async #json(method: string, name: string, body?: Json): Promise<OllamaAnswer> {
    return (await (await this.#send(method, name, body)).json()) as OllamaAnswer;
  }

  async #send(method: string, name: string, body?: Json): Promise<Response> {
    const response = await fetch(`${this.#host}/api/${name}`, {
      method,
      headers: this.#headers,
      ...(body && { body: JSON.stringify(body) }),
    });
    if (response.ok) return response;
    const { error } = (await response.json()) as { error: string };
    throw Object.assign(new Error(error), { status_code: response.status, error });
  }
}
