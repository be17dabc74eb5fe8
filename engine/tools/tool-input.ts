/**
 * The input of a call, from the JSON that the model wrote. A text that ends in the middle, because
 * the limit has cut it or the model broke off, gives all members and items that are complete.
 */
export function toolInput(text: string): object {
  const whole = parsedObject(text);
  return whole ?? parsedObject(completed(text)) ?? {};
}

function parsedObject(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** Cuts a JSON text behind its last complete value, and closes what is open there. */
function completed(text: string): string {
  const open: ('{' | '[')[] = [];
  let [inString, escaped] = [false, false];
  /** Whether the string that is open, or was last, is a key. */
  let isKey = false;
  let kept = '';
  const keep = (end: number): void => {
    const closing = open.toReversed().map((bracket) => (bracket === '{' ? '}' : ']'));
    kept = text.slice(0, end) + closing.join('');
  };
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (inString) {
      if (escaped) escaped = false;
      else if (char === '\\') escaped = true;
      else if (char === '"') {
        inString = false;
        if (!isKey) keep(i + 1);
      }
      continue;
    }
    switch (char) {
      case '"':
        inString = true;
        break;
      case '{':
      case '[':
        open.push(char);
        isKey = char === '{';
        keep(i + 1);
        break;
      case '}':
      case ']':
        open.pop();
        keep(i + 1);
        break;
      case ':':
        isKey = false;
        break;
      case ',':
        isKey = open.at(-1) === '{';
        // A number or a word ends only here.
        keep(i);
        break;
    }
  }
  return kept;
}
