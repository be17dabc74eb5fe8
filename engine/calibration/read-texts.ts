import { readFile } from 'node:fs/promises';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import { OctavoError, reasonOf } from '../errors.js';
import type { TemplateMessage } from '../text/chat-template.js';

/** A text, or a conversation that the model's chat template makes a text of. */
export type CalibrationText =
  | { readonly text: string }
  | { readonly messages: readonly TemplateMessage[]; readonly tools: readonly object[] | null };

const MessageSchema = Type.Object({
  role: Type.String(),
  content: Type.Union([Type.String(), Type.Null()]),
});
const TextSchema = Type.Object({ text: Type.String({ minLength: 1 }) });
const MessagesSchema = Type.Object({
  messages: Type.Array(MessageSchema, { minItems: 1 }),
  tools: Type.Optional(Type.Union([Type.Array(Type.Object({})), Type.Null()])),
});

/** @throws OctavoError `usage`, with the file and the reason */
export async function readCalibrationFile(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw refused(file, `cannot be read (${reasonOf(cause)})`);
  }
}

/**
 * The texts of a calibration file: one on each line, or of a file named `.jsonl`, an object on each
 * line with `text`, or with `messages` and perhaps `tools`. Empty lines are skipped.
 *
 * @throws OctavoError `usage`, with the file and the line, when there is no text or a line is none
 */
export function parseCalibrationFile(file: string, bytes: Uint8Array): CalibrationText[] {
  const isJson = file.endsWith('.jsonl');
  const texts: CalibrationText[] = [];
  for (const [i, line] of textOf(file, bytes).split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    texts.push(isJson ? parseLine(file, i + 1, line) : { text: line });
  }
  if (texts.length === 0) throw refused(file, 'holds no text');
  return texts;
}

function textOf(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refused(file, 'is no text in UTF-8');
  }
}

function parseLine(file: string, line: number, text: string): CalibrationText {
  const form = 'a JSON object with "text", or with "messages" of "role" and "content"';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refused(file, `line ${line} is not ${form}`);
  }
  if (Check(TextSchema, value)) return { text: value.text };
  if (!Check(MessagesSchema, value)) throw refused(file, `line ${line} is not ${form}`);
  return { messages: value.messages, tools: value.tools ?? null };
}

export function refused(file: string, reason: string): OctavoError {
  return new OctavoError('usage', `--calibrate ${file}: ${reason}`, { param: '--calibrate' });
}
