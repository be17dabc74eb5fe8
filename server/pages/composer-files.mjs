/** @import { Attachment } from './chat-types.js' */
import { attach, MAX_FILES } from './attachments.mjs';
import { make } from './elements.mjs';
import { fileSize } from './formats.mjs';
import { picture } from './question-view.mjs';

/** The files that the next question will have: chosen, dropped or pasted. */
export class ComposerFiles {
  #list;
  #note;
  #seesImages;
  /** @type {Attachment[]} */
  #files = [];

  /**
   * @param {{ composer: HTMLElement, list: HTMLElement, note: HTMLElement,
   *   picker: HTMLInputElement, button: HTMLElement }} elements the note says what was refused
   * @param {() => boolean} seesImages whether the model does
   */
  constructor({ composer, list, note, picker, button }, seesImages) {
    this.#list = list;
    this.#note = note;
    this.#seesImages = seesImages;
    button.addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      void this.#add([...(picker.files ?? [])]);
      picker.value = '';
    });
    composer.addEventListener('dragover', (event) => {
      if (event.dataTransfer?.types.includes('Files')) event.preventDefault();
    });
    composer.addEventListener('drop', (event) => {
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      void this.#add(files);
    });
    composer.addEventListener('paste', (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      void this.#add(files);
    });
  }

  /** Gives them away: the next question begins without. */
  take() {
    const files = this.#files;
    this.#files = [];
    this.#say('');
    this.#show();
    return files;
  }

  get isEmpty() {
    return this.#files.length === 0;
  }

  /** @param {readonly File[]} files */
  async #add(files) {
    this.#say('');
    for (const file of files) {
      if (this.#files.length === MAX_FILES) {
        this.#say(`${file.name}: at most ${MAX_FILES} files go with a question.`);
        break;
      }
      try {
        this.#files.push(await attach(file, { seesImages: this.#seesImages() }));
      } catch (error) {
        this.#say(error instanceof Error ? error.message : String(error));
      }
    }
    this.#show();
  }

  /** @param {string} words */
  #say(words) {
    this.#note.textContent = words;
    this.#note.hidden = words === '';
  }

  #show() {
    this.#list.hidden = this.isEmpty;
    this.#list.replaceChildren(...this.#files.map((file) => this.#itemOf(file)));
  }

  /** @param {Attachment} file */
  #itemOf(file) {
    const { kind, name, content } = file;
    const item = make('li', 'file');
    const remove = make('button', 'action', '✕');
    remove.type = 'button';
    remove.ariaLabel = `Take ${name} away`;
    remove.addEventListener('click', () => {
      this.#files = this.#files.filter((one) => one !== file);
      this.#show();
    });
    const size = kind === 'text' ? ` · ${fileSize(new Blob([content]).size)}` : '';
    item.append(...(kind === 'image' ? [picture(file)] : []), `${name}${size}`, remove);
    return item;
  }
}
