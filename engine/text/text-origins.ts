import type { RuntimeValue as Value } from './python-text.js';
import { NO_SPANS, type Spans, wholeSpan } from './spans.js';

/**
 * Tracks, during one run of a template, which strings come from the client and which from the
 * template.
 *
 * A string's origin is recorded when it is given or first evaluated. If an operation creates a
 * string and does not state the origins of its parts, the whole string counts as the client's when
 * the operation has read any text of the client. So an operation that is not handled here may keep
 * a template from writing a control token, but never lets a client write one.
 */
export class TextOrigins {
  readonly #spans = new WeakMap<Value, Spans>();
  /** For each known list, object or function, whether it holds text of the client. */
  readonly #holding = new WeakMap<Value, boolean>();
  /** Whether the present evaluation has read text of the client. */
  #hasRead = false;

  /** Marks all strings of a value as the client's. */
  markClient(value: Value): void {
    if (value.type === 'StringValue') {
      this.#spans.set(value, wholeSpan(String(value.value).length));
      return;
    }
    this.#holding.set(value, true);
    for (const child of childrenOf(value)) this.markClient(child);
  }

  /** Marks one string as the template's. */
  trust(value: Value): void {
    this.#spans.set(value, NO_SPANS);
  }

  /** The client's spans of a string; for another value, those of its text. */
  spansOf(value: Value, text: string): Spans {
    if (value.type === 'StringValue') return this.#spans.get(value) ?? wholeSpan(text.length);
    return this.holdsClient(value) ? wholeSpan(text.length) : NO_SPANS;
  }

  /** Records which parts of a new string are the client's. */
  set(value: Value, spans: Spans): Value {
    this.#spans.set(value, spans);
    this.#hasRead ||= spans.length > 0;
    return value;
  }

  holdsClient(value: Value): boolean {
    if (value.type === 'StringValue') return this.#spans.get(value)?.length !== 0;
    // The content of a namespace may change.
    return value.type === 'NamespaceValue' || this.#holding.get(value) === true;
  }

  /** Runs an evaluation and records the origin of its result. */
  during(evaluate: () => Value): Value {
    const before = this.#hasRead;
    this.#hasRead = false;
    const value = evaluate();
    this.settle(value, this.#hasRead);
    this.#hasRead = before || this.holdsClient(value);
    return value;
  }

  /** @param hasRead whether the operation that created the value has read text of the client */
  settle(value: Value, hasRead: boolean): void {
    if (value.type === 'StringValue') {
      if (this.#spans.has(value)) return;
      this.#spans.set(value, hasRead ? wholeSpan(String(value.value).length) : NO_SPANS);
      return;
    }
    if (value.type === 'NamespaceValue' || this.#holding.has(value)) return;
    // A method reads its string or object; keys of a new object may come from the client, too.
    let holds = hasRead && (value.type === 'FunctionValue' || value.value instanceof Map);
    for (const child of childrenOf(value)) {
      this.settle(child, hasRead);
      holds ||= this.holdsClient(child);
    }
    if (isCompound(value)) this.#holding.set(value, holds);
  }
}

const isCompound = ({ type, value }: Value): boolean =>
  type === 'FunctionValue' || Array.isArray(value) || value instanceof Map;

function childrenOf({ value }: Value): Iterable<Value> {
  if (Array.isArray(value)) return value as Value[];
  return value instanceof Map ? (value as Map<string, Value>).values() : [];
}
