import { MarkerScanner } from '../text/marker-scanner.js';
import { ArgumentWriter, isTextOnly, jsonOf, propertiesOf } from './argument-writer.js';
import { BodyReader } from './body-reader.js';
import type { CallState } from './call-object.js';
import type { ToolEvents } from './tool-events.js';
import { FUNCTION_NAME, type OfferedTool } from './tool-format.js';

/** The tags of a call whose arguments have tags of their own. */
export interface CallTags {
  /** Before the name, and the character behind it; a line break may be missing before a tag. */
  readonly name: readonly [before: string, after: string];
  readonly key: readonly [before: string, after: string];
  /** Before the value, may be empty, and behind it. */
  readonly value: readonly [before: string, after: string];
  /** What ends the call. */
  readonly ends: readonly string[];
  /** Whether a line break behind the tag before a value, and before the one behind it, is form. */
  readonly hasLines: boolean;
}

type Expected = 'name tag' | 'name' | 'next' | 'key' | 'value tag' | 'value';

/**
 * Reads one call whose arguments stand in tags: values without quotes, of which the function's
 * schema says what they are. A text is passed on as it arrives, any other value when it is whole.
 */
export class TaggedCall extends BodyReader {
  readonly #tags: CallTags;
  readonly #writer: ArgumentWriter;
  readonly #tools: readonly OfferedTool[];
  #schemas = new Map<string, object>();
  #expected: Expected = 'name tag';
  /** What was read of a tag, a name, a key, or a value that is not a text. */
  #read = '';
  #scanner: MarkerScanner;
  #isText = false;
  /** Whether nothing of the value has arrived yet. */
  #atStart = true;

  constructor(events: ToolEvents, tags: CallTags, tools: readonly OfferedTool[]) {
    super(events);
    this.#tags = tags;
    this.#tools = tools;
    this.#writer = new ArgumentWriter(events);
    this.#scanner = new MarkerScanner(tags.value[1]);
    if (tags.name[0] === '') this.#expected = 'name';
  }

  protected advance(char: string): CallState {
    switch (this.#expected) {
      case 'name tag':
        return this.#tag(char, [this.#tags.name[0]]);
      case 'name':
        return this.#name(char);
      case 'next':
        return this.#tag(char, [this.#tags.key[0], ...this.#tags.ends]);
      case 'key':
        return this.#key(char);
      case 'value tag':
        return this.#tag(char, [this.#tags.value[0]]);
      case 'value':
        this.#value(char);
        return 'open';
    }
  }

  /** One of some tags, behind white space. */
  #tag(char: string, tags: readonly string[]): CallState {
    if (this.#read === '' && /\s/.test(char)) return 'open';
    const read = this.#read + char;
    const found = tags.find((tag) => tag.startsWith(read));
    if (found === undefined) return 'malformed';
    this.#read = read;
    if (found !== read) return 'open';
    this.#read = '';
    if (this.#expected === 'name tag') this.#expected = 'name';
    else if (this.#expected === 'value tag') this.#beginValue();
    else if (read === this.#tags.key[0]) this.#expected = 'key';
    else return this.#close();
    return 'open';
  }

  #name(char: string): CallState {
    if (this.#read === '' && /\s/.test(char)) return 'open';
    if (/[\w-]/.test(char)) {
      this.#read += char;
      return 'open';
    }
    const [, after] = this.#tags.name;
    const isTagged = after.trim() !== '';
    if (!FUNCTION_NAME.test(this.#read) || (isTagged && char !== after)) return 'malformed';
    const name = this.#read;
    if (!isTagged && char !== after && char !== this.#tags.key[0][0]) return 'malformed';
    this.#called(name);
    return isTagged ? 'open' : this.advance(char);
  }

  #called(name: string): void {
    const tool = this.#tools.find((offered) => offered.name === name);
    this.#schemas = new Map(propertiesOf(tool?.parameters ?? {}));
    this.#read = '';
    this.#expected = 'next';
    this.begin(name);
  }

  #key(char: string): CallState {
    this.#read += char;
    const [, after] = this.#tags.key;
    if (!this.#read.endsWith(after)) return /[\n<]/.test(this.#read[0]) ? 'malformed' : 'open';
    const name = this.#read.slice(0, -after.length).trim();
    this.#read = '';
    this.#isText = isTextOnly(this.#schemas.get(name));
    this.#writer.key(name);
    this.#expected = 'value tag';
    if (this.#tags.value[0] === '') this.#beginValue();
    return 'open';
  }

  #beginValue(): void {
    this.#expected = 'value';
    this.#scanner = new MarkerScanner(this.#tags.value[1]);
    this.#atStart = true;
    if (this.#isText) this.#writer.quote();
  }

  #value(char: string): void {
    const text = this.#scanner.push(char);
    if (text !== null) return this.#pass(text);
    // White space before the tag belongs to the value, but for the line break of the form.
    const rest = this.#scanner.found.slice(0, -this.#tags.value[1].length);
    this.#pass(rest, true);
    if (this.#isText) this.#writer.quote();
    else this.#writer.json(jsonOf(this.#read));
    this.#read = '';
    this.#expected = 'next';
  }

  #pass(piece: string, isLast = false): void {
    if (piece === '') return;
    let text = piece;
    if (this.#tags.hasLines && this.#atStart && text.startsWith('\n')) text = text.slice(1);
    if (this.#tags.hasLines && isLast && text.endsWith('\n')) text = text.slice(0, -1);
    this.#atStart = false;
    if (this.#isText) this.#writer.text(text);
    else this.#read += text;
  }

  #close(): CallState {
    this.#writer.close();
    this.end();
    return 'done';
  }

  /** The call ends where its form does; what was read of a tag is text. */
  protected override giveUp(): void {
    if (this.#expected === 'next') this.#writer.close();
    this.end();
    this.events.content(this.#read);
    this.#read = '';
  }
}
