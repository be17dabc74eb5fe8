import type { TokenId } from '../../scheduler/ids.js';
import { OctavoError } from '../errors.js';
import type { MessageOptions } from '../generation/chat-messages.js';
import type { Message } from '../generation/message.js';
import type { EncodeOptions, PromptMaker } from '../generation/prompts/prompt-maker.js';
import type { Asker } from '../job-pool/job-pool.js';
import type { ServedModel } from '../text/served-model.js';
import type { PromptText } from '../text/spans.js';
import type { ImageEncoder, KeyedImage } from './image-encoder.js';
import { type ImageWords, imageText, replacePlaceholders } from './image-text.js';
import { type LoadOptions, loadBytes } from './load-bytes.js';

export interface ImagePromptOptions extends LoadOptions {
  /** Images of one prompt, at most. */
  readonly maxImages: number;
}

/** Prompts of a model that reads images: they are encoded before the conversation is rendered. */
export class ImagePrompts implements PromptMaker {
  readonly images: ImageEncoder;
  readonly #inner: PromptMaker;
  readonly #options: ImagePromptOptions;
  readonly #words: ImageWords;
  /** What the chat template writes for a picture. */
  readonly #placeholder: string;

  /** @param inner makes the text; owned, as the encoder is */
  constructor(
    inner: PromptMaker,
    images: ImageEncoder,
    { tokenizer }: Pick<ServedModel, 'tokenizer'>,
    options: ImagePromptOptions,
  ) {
    this.#inner = inner;
    this.images = images;
    this.#options = options;
    const text = (token: number): string =>
      tokenizer.decode([token as TokenId], { skipSpecialTokens: false });
    const { imageToken, borders } = images.model;
    const [begin, end] = borders ? [text(borders.begin), text(borders.end)] : ['', ''];
    this.#words = { image: text(imageToken), begin, end };
    this.#placeholder = borders ? begin : this.#words.image;
  }

  async render(
    messages: readonly Message[],
    options: MessageOptions,
    asker: Asker,
  ): Promise<PromptText> {
    const { shown, urls } = takeUrls(messages);
    if (urls.length === 0) return this.#inner.render(messages, options, asker);
    const { maxImages } = this.#options;
    if (urls.length > maxImages) {
      const message = `${urls[maxImages].at}: one image too many, at most ${maxImages} are allowed (--limit-mm-per-prompt)`;
      throw new OctavoError('invalid_request', message, { param: urls[maxImages].at });
    }
    const list = await Promise.all(urls.map((url) => this.#encode(url, asker)));
    const prompt = await this.#inner.render(shown, options, asker);
    const { model } = this.images;
    const texts = list.map((image) => imageText(image, model, this.#words));
    const replaced = replacePlaceholders(prompt, this.#placeholder, texts);
    const { isBidirectional } = model;
    return { ...replaced, images: { token: model.imageToken as TokenId, isBidirectional, list } };
  }

  encode(prompt: PromptText, options: EncodeOptions, asker: Asker): Promise<TokenId[]> {
    return this.#inner.encode(prompt, options, asker);
  }

  async close(): Promise<void> {
    await Promise.all([this.#inner.close(), this.images.close()]);
  }

  async #encode({ url, at }: ImageUrl, asker: Asker): Promise<KeyedImage> {
    try {
      return await this.images.encode(await loadBytes(url, this.#options, asker.signal), asker);
    } catch (error) {
      if (!(error instanceof OctavoError) || error.kind !== 'invalid_request') throw error;
      const message = `${at}: ${error.message}`;
      throw new OctavoError('invalid_request', message, { param: at, cause: error });
    }
  }
}

interface ImageUrl {
  readonly url: string;
  /** Where the request has it, for errors. */
  readonly at: string;
}

/** The URLs of all images, and the messages without them: those are large. */
function takeUrls(messages: readonly Message[]): {
  readonly shown: Message[];
  readonly urls: ImageUrl[];
} {
  const urls: ImageUrl[] = [];
  const shown = messages.map((message, index): Message => {
    const { content } = message;
    if (!Array.isArray(content)) return message;
    const parts = (content as Exclude<Message['content'], string | null | undefined>).map(
      (part, place) => {
        if (part.type !== 'image_url') return part;
        const { image_url: given, at = `messages[${index}].content[${place}]` } = part;
        urls.push({ url: typeof given === 'string' ? given : given.url, at });
        return { type: 'image' } as const;
      },
    );
    return { ...message, content: parts };
  });
  return { shown, urls };
}
