import type { RuntimeValue as Value } from './python-text.js';
import { NO_SPANS, type Spans, wholeSpan } from './spans.js';

/**
 * Who has written the texts of one run of a template: the client, or the template.
 *
 * A text is known from when it is given or first evaluated. One that an operation has made anew,
 * and that does not say which parts it is made of, belongs to the client as a whole if anything
 * that the operation has read holds text of the client. So an operation that nobody thought of may
 * keep a template from writing a control token, but never lets a client write one.
 */
export class TextOrigins {
  readonly #spans = new WeakMap<Value, Spans>();
  /**
   * Whether there is text of the client in a list or an object, or behind a function, that is
   * known.
   */
  readonly #holding = new WeakMap<Value, boolean>();
  /** What is evaluated now has read text of the client. */
  #hasRead = false;

  /** Gives all of a value's texts to the client. */
  markClient(value: Value): void {
    if (value.type === 'StringValue') {
      this.#spans.set(value, wholeSpan(String(value.value).length));
      return;
    }
    this.#holding.set(value, true);
    for (const child of childrenOf(value)) this.markClient(child);
  }

  /** Gives one text to the template. */
  trust(value: Value): void {
    this.#spans.set(value, NO_SPANS);
  }

  /** The client's parts of a text; of another value, of the text that is made of it. */
  spansOf(value: Value, text: string): Spans {
    if (value.type === 'StringValue') return this.#spans.get(value) ?? wholeSpan(text.length);
    return this.holdsClient(value) ? wholeSpan(text.length) : NO_SPANS;
  }

  /** Says of a text that an operation has made which parts of it are the client's. */
  set(value: Value, spans: Spans): Value {
    this.#spans.set(value, spans);
    this.#hasRead ||= spans.length > 0;
    return value;
  }

  holdsClient(value: Value): boolean {
    if (value.type === 'StringValue') return this.#spans.get(value)?.length !== 0;
    // What it holds may change.
    return value.type === 'NamespaceValue' || this.#holding.get(value) === true;
  }

  /** Evaluates something, and settles whose its result is. */
  during(evaluate: () => Value): Value {
    const before = this.#hasRead;
    this.#hasRead = false;
    const value = evaluate();
    this.settle(value, this.#hasRead);
    this.#hasRead = before || this.holdsClient(value);
    return value;
  }

  /** @param hasRead whether what made the value has read text of the client */
  settle(value: Value, hasRead: boolean): void {
    if (value.type === 'StringValue') {
      if (this.#spans.has(value)) return;
      this.#spans.set(value, hasRead ? wholeSpan(String(value.value).length) : NO_SPANS);
      return;
    }
    if (value.type === 'NamespaceValue' || this.#holding.has(value)) return;
    // A method of a text or an object reads that; the keys of a new object may be anybody's.
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
