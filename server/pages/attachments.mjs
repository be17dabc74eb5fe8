/** @import { Attachment } from './chat-types.js' */
import { fileSize } from './formats.mjs';

/** Bytes. A text of this size has more tokens than most contexts. */
const MAX_TEXT = 512 * 2 ** 10;
/** In a request it takes a third more, of the 10 MiB that a server takes by default. */
const MAX_IMAGE = 4 * 2 ** 20;
/** Of one question. */
export const MAX_FILES = 8;

/** Pictures that the server reads. */
const IMAGES = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/gif']);

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {string | null} null: this is not text
 */
export function textOf(bytes) {
  const isWide =
    (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  const encoding = isWide ? (bytes[0] === 0xff ? 'utf-16le' : 'utf-16be') : 'utf-8';
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    // No text has them, and many binary formats are valid UTF-8 by chance at their beginning.
    return text.includes('\0') ? null : text.replaceAll('\r\n', '\n');
  } catch {
    return null;
  }
}

/**
 * @param {File} file
 * @param {{ seesImages: boolean }} model
 * @returns {Promise<Attachment>} rejects with Error: one line that says why not
 */
export async function attach(file, { seesImages }) {
  const { name, type, size } = file;
  const isImage = IMAGES.has(type);
  if (isImage && !seesImages) throw new Error(`${name}: this model does not see images.`);
  const limit = isImage ? MAX_IMAGE : MAX_TEXT;
  if (size > limit) {
    throw new Error(`${name} has ${fileSize(size)}: at most ${fileSize(limit)} are taken.`);
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (isImage) return { kind: 'image', name, content: `data:${type};base64,${base64(bytes)}` };
  const content = textOf(bytes);
  if (content === null) {
    const what = seesImages ? 'texts, and PNG, JPEG, WebP and GIF images' : 'texts';
    throw new Error(`${name} is not text: only ${what} are taken.`);
  }
  return { kind: 'text', name, content };
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let binary = '';
  // As many arguments as every browser takes.
  for (let i = 0; i < bytes.length; i += 8192) {
    binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(binary);
}

/**
 * The bytes of a `data:` URL.
 *
 * @param {string} url
 */
export function blobOf(url) {
  const [, type = '', data = ''] = /^data:([^;]*);base64,(.*)$/s.exec(url) ?? [];
  return new Blob([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], { type });
}
