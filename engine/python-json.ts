/**
 * JSON as Python writes it, with numbers that JSON does not have (the limits of a Mamba layer end
 * in Infinity): they become null.
 *
 * @throws SyntaxError
 */
export function parsePythonJson(text: string): unknown {
  const plain = text.replace(/("(?:[^"\\]|\\.)*")|-?Infinity|NaN/g, (all, string) =>
    string ? all : 'null',
  );
  return JSON.parse(plain);
}
