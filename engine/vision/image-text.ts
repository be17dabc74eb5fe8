import { OctavoError } from '../errors.js';
import { type PromptText, SpanWriter, spansWithin, touches } from '../text/spans.js';
import type { ImageLayout } from './processors/processor.js';
import type { VisionModel } from './vision-model.js';

/** Texts of the tokens that have to do with images. */
export interface ImageWords {
  /** Stands for one row. */
  readonly image: string;
  /** Before the first row of a picture, and behind its last one; empty for models without. */
  readonly begin: string;
  readonly end: string;
}

/** Idefics 3's and SmolVLM's: around pieces of a picture, and before the whole of it. */
const AROUND = '<fake_token_around_image>';
const GLOBAL = '<global-img>';

/**
 * What a processor writes in the place of a picture's placeholder.
 *
 * @param words texts of the model's tokens
 */
export function imageText(
  { layout, numRows }: { readonly layout: ImageLayout; readonly numRows: number },
  { settings, rowsPerPiece }: Pick<VisionModel, 'settings' | 'rowsPerPiece'>,
  { image, begin, end }: ImageWords,
): string {
  switch (settings.kind) {
    case 'qwen-vl':
      return image.repeat(numRows);
    case 'gemma3': {
      const piece = `\n\n${begin}${image.repeat(rowsPerPiece ?? 0)}${end}\n\n`;
      const { width: crops } = layout.tiles;
      if (crops === 0) return piece;
      const list = Array<string>(crops).fill(piece).join(' ');
      return `Here is the original image ${piece} and here are some crops to help you see better ${list}`;
    }
    case 'idefics3': {
      const piece = image.repeat(rowsPerPiece ?? 0);
      const { height, width } = layout.tiles;
      const rows = Array.from({ length: height }, (_, row) =>
        Array.from(
          { length: width },
          (__, column) => `${AROUND}<row_${row + 1}_col_${column + 1}>${piece}`,
        ).join(''),
      );
      const cut = rows.map((row) => `${row}\n`).join('');
      return `${cut}${height > 0 ? '\n' : ''}${AROUND}${GLOBAL}${piece}${AROUND}`;
    }
  }
}

/**
 * Replaces the placeholders that the chat template has written, one after another. What the client
 * wrote stays as it is, even where it looks like one.
 *
 * @throws OctavoError `invalid_request` when the template has not written one for each text
 */
export function replacePlaceholders(
  { text, client }: PromptText,
  placeholder: string,
  texts: readonly string[],
): PromptText {
  const places: number[] = [];
  for (let at = text.indexOf(placeholder); at >= 0; ) {
    const end = at + placeholder.length;
    if (!touches(client, at, end)) places.push(at);
    at = text.indexOf(placeholder, end);
  }
  if (places.length !== texts.length) {
    throw new OctavoError(
      'invalid_request',
      `messages: there are ${texts.length} images, and the model's chat template shows ${places.length} of them`,
      { param: 'messages' },
    );
  }
  const writer = new SpanWriter();
  let from = 0;
  for (const [i, at] of places.entries()) {
    writer.push(text.slice(from, at), spansWithin(client, from, at));
    writer.push(texts[i], []);
    from = at + placeholder.length;
  }
  writer.push(text.slice(from), spansWithin(client, from, text.length));
  return { text: writer.text, client: writer.spans };
}
