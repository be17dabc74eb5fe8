/** A value of the Jinja interpreter. */
export interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
  toString(): string;
  __bool__(): { readonly value: boolean };
}

/** Python's `str`; for an undefined value, Jinja's. */
export function pythonText(value: RuntimeValue): string {
  if (value.type === 'UndefinedValue') return '';
  return value.type === 'StringValue' ? String(value.value) : pythonForm(value);
}

/** Python's `repr`. */
function pythonForm(value: RuntimeValue): string {
  switch (value.type) {
    case 'NullValue':
      return 'None';
    case 'BooleanValue':
      return value.value === true ? 'True' : 'False';
    case 'StringValue':
      return quoted(String(value.value));
    case 'ArrayValue':
      return `[${(value.value as RuntimeValue[]).map(pythonForm).join(', ')}]`;
    case 'TupleValue': {
      const items = (value.value as RuntimeValue[]).map(pythonForm);
      return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
    }
    case 'ObjectValue': {
      const entries = [...(value.value as Map<string, RuntimeValue>)];
      return `{${entries.map(([key, of]) => `${quoted(key)}: ${pythonForm(of)}`).join(', ')}}`;
    }
    default:
      return value.toString();
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** In single quotes, unless the text contains single quotes only. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inside = text
    .replaceAll('\\', '\\\\')
    .replaceAll(quote, `\\${quote}`)
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]|(?! )\p{Zs}/gu, escaped);
  return quote + inside + quote;
}

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  if (code < 0x100) return ESCAPES[char] ?? `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
