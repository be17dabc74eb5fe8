import type { Engine } from '../client/engine-port.js';
import type { MessageForms } from '../generation/message-form.js';
import type { PromptMaker } from '../generation/prompts/prompt-maker.js';
import type { GrammarChecker } from '../grammar/grammar-checker.js';
import type { EngineSettings } from '../settings.js';
import type { ServedModel } from '../text/served-model.js';

/** The parts of an engine; a server uses the same parts. */
export interface EngineParts {
  readonly port: Engine;
  readonly model: ServedModel;
  readonly forms: MessageForms;
  readonly prompts: PromptMaker;
  readonly grammars: GrammarChecker;
  readonly settings: EngineSettings & { readonly kvMetricsSampleRate: number };
}
