/** @import { Attachment, QuestionTurn } from './chat-types.js' */
import { blobOf } from './attachments.mjs';
import { make } from './elements.mjs';
import { fileSize } from './formats.mjs';

/** Pixels of a small picture's longer side. */
const SMALL = 160;

/**
 * A question with its files: texts folded, pictures small.
 *
 * @param {QuestionTurn} turn
 */
export function questionView({ content, files }) {
  const root = make('article', 'message user');
  root.ariaLabel = 'You';
  for (const file of files) root.append(file.kind === 'image' ? picture(file) : foldedText(file));
  if (content !== '') root.append(make('div', 'text', content));
  return root;
}

/** @param {Attachment} file */
function foldedText({ name, content }) {
  const box = make('details', 'file');
  const words = make('pre', '', content);
  words.tabIndex = 0;
  words.role = 'group';
  words.ariaLabel = name;
  box.append(make('summary', '', `${name} · ${fileSize(new Blob([content]).size)}`), words);
  return box;
}

/**
 * Drawn on a canvas: the page's Content-Security-Policy takes images of the server alone.
 *
 * @param {Attachment} file
 */
export function picture({ name, content }) {
  const canvas = make('canvas', 'picture');
  canvas.role = 'img';
  canvas.ariaLabel = name;
  canvas.title = name;
  [canvas.width, canvas.height] = [0, 0];
  const draw = async () => {
    const bitmap = await createImageBitmap(blobOf(content));
    const scale = Math.min(1, SMALL / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
  };
  // The server says why a damaged picture cannot be read; here its name stands for it.
  draw().catch(() => canvas.replaceWith(make('span', 'file', name)));
  return canvas;
}
