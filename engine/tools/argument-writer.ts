import type { ToolEvents } from './tool-events.js';

/** Writes arguments, which a model writes one by one in another form, as a JSON object. */
export class ArgumentWriter {
  readonly #events: ToolEvents;
  #count = 0;

  constructor(events: ToolEvents) {
    this.#events = events;
  }

  key(name: string): void {
    const before = this.#count++ === 0 ? '{' : ', ';
    this.#events.arguments(`${before}${JSON.stringify(name)}: `);
  }

  /** A piece of JSON, as it is. */
  json(text: string): void {
    this.#events.arguments(text);
  }

  /** A piece of the text inside of a string; `quote` stands before and behind it. */
  text(piece: string): void {
    this.#events.arguments(JSON.stringify(piece).slice(1, -1));
  }

  quote(): void {
    this.#events.arguments('"');
  }

  close(): void {
    this.#events.arguments(this.#count === 0 ? '{}' : '}');
  }
}

/** The schema's properties, in its order; none where it names none. */
export function propertiesOf(parameters: object): [name: string, schema: object][] {
  const properties: unknown = 'properties' in parameters ? parameters.properties : null;
  if (typeof properties !== 'object' || properties === null) return [];
  return Object.entries(properties).map(([name, schema]: [string, unknown]) => [
    name,
    typeof schema === 'object' && schema !== null ? schema : {},
  ]);
}

/** Whether a value of the schema can only be a text. */
export function isTextOnly(schema: object | undefined): boolean {
  if (schema === undefined) return false;
  if ('type' in schema) return schema.type === 'string';
  const values: unknown = 'enum' in schema ? schema.enum : null;
  return Array.isArray(values) && values.every((value) => typeof value === 'string');
}

/** What a model wrote without quotes, as JSON: a literal of JSON or Python, or else a text. */
export function jsonOf(written: string): string {
  const text = written.trim();
  const word = PYTHON_WORDS.get(text);
  if (word !== undefined) return word;
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(written);
  }
}

export const PYTHON_WORDS: ReadonlyMap<string, string> = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);
