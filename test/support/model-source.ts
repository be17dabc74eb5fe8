import { InlinePrompts } from '../../engine/generation/prompts/prompt-maker.js';
import { GrammarChecker } from '../../engine/grammar/grammar-checker.js';
import { loadSettings } from '../../server/config/load-settings.js';
import type { DownloadProgress, ModelSource } from '../../server/pool/model-source.js';
import { byteModel, bytesOf, EOS } from './byte-model.js';
import { type Script, ScriptedEngine } from './scripted-engine.js';

const grammars = new GrammarChecker();

/** A model that is loaded without a file: counts its engines, and how many of them are open. */
export class TestSource implements ModelSource {
  readonly names: readonly [string, ...string[]];
  readonly bytes: number;
  readonly places = () => [`/models/${this.names[0]}`];
  readonly engines: ScriptedEngine[] = [];
  /** Awaited by each load. */
  beforeLoad: () => Promise<void> = async () => undefined;
  readonly #script: () => Script;

  /** @param text what it answers; or what it does with each request */
  constructor(name: string, text: string | (() => Script), bytes = 100) {
    this.names = [name];
    this.bytes = bytes;
    this.#script =
      typeof text === 'function'
        ? text
        : () => ({ steps: [[...bytesOf(text), EOS]], finish: 'stop' });
  }

  /** Engines that are loaded and not closed. */
  get open(): number {
    return this.engines.filter(({ closed }) => !closed).length;
  }

  async measure(onProgress?: DownloadProgress) {
    onProgress?.('model.onnx', this.bytes, this.bytes);
    return { bytes: this.bytes, path: `/models/${this.names[0]}` };
  }

  removed = false;

  async remove() {
    this.removed = true;
  }

  async known() {
    return null;
  }

  async load() {
    await this.beforeLoad();
    const engine = new ScriptedEngine(this.#script);
    this.engines.push(engine);
    const model = { ...byteModel, names: this.names };
    return {
      engine,
      model,
      prompts: new InlinePrompts(model),
      grammars,
      settings: loadSettings({}, {}),
      bytes: this.bytes,
      close: () => engine.close(),
    };
  }
}
