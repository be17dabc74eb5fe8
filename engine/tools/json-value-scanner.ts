/**
 * Position of a character: inside the value, its last one, after it (how numbers and literals end),
 * or in no value.
 */
export type Place = 'inside' | 'last' | 'behind' | 'malformed';

/**
 * Follows one JSON value character by character, to find its end. It distinguishes brackets and
 * strings only; the reader of the value checks that it is valid JSON.
 */
export class JsonValueScanner {
  #form: 'none' | 'word' | 'string' | 'container' = 'none';
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Whether the next character would be text of a string. */
  get inString(): boolean {
    return this.#inString;
  }

  push(char: string): Place {
    if (this.#inString) return this.#pushInString(char);
    switch (this.#form) {
      case 'none':
        return this.#open(char);
      case 'word':
        return /[\w.+-]/.test(char) ? 'inside' : 'behind';
      case 'string':
      case 'container':
        return this.#pushBetween(char);
    }
  }

  #open(char: string): Place {
    if (char === '"') {
      this.#form = 'string';
      this.#inString = true;
    } else if (char === '{' || char === '[') {
      this.#form = 'container';
      this.#depth = 1;
    } else if (/[\w-]/.test(char)) {
      this.#form = 'word';
    } else {
      return 'malformed';
    }
    return 'inside';
  }

  #pushInString(char: string): Place {
    if (this.#escaped) this.#escaped = false;
    else if (char === '\\') this.#escaped = true;
    else if (char === '"') {
      this.#inString = false;
      if (this.#form === 'string') return 'last';
    }
    return 'inside';
  }

  #pushBetween(char: string): Place {
    if (char === '"') this.#inString = true;
    else if (char === '{' || char === '[') this.#depth++;
    else if ((char === '}' || char === ']') && --this.#depth === 0) return 'last';
    return 'inside';
  }
}
