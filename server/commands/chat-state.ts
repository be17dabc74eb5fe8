import type { GenerateOptions, Message } from '../../engine/index.js';

/** What a conversation on the terminal consists of, and what its commands change. */
export interface ChatState {
  system: string | null;
  /** Questions and answers in turn. */
  messages: Message[];
  options: GenerateOptions;
}

/** A number that `/set parameter` takes, by the names of Ollama and of OpenAI. */
interface Parameter {
  readonly names: readonly string[];
  readonly option: keyof GenerateOptions;
  readonly integer: boolean;
  readonly minimum: number;
  readonly maximum: number;
}

const PARAMETERS: readonly Parameter[] = [
  number(['temperature'], 'temperature', 0, 2),
  number(['top_p'], 'topP', 0, 1),
  integer(['top_k'], 'topK', 0, 1_000_000),
  number(['min_p'], 'minP', 0, 1),
  integer(['seed'], 'seed', 0, Number.MAX_SAFE_INTEGER),
  integer(['num_predict', 'max_tokens'], 'maxTokens', 1, 16_777_216),
  number(['repeat_penalty', 'repetition_penalty'], 'repetitionPenalty', 0.01, 10),
  number(['presence_penalty'], 'presencePenalty', -2, 2),
  number(['frequency_penalty'], 'frequencyPenalty', -2, 2),
];

export const HELP = `  /set system [text]           the system message; without a text, shows it
  /set parameter [name value]  ${PARAMETERS.map(({ names }) => names[0]).join(', ')}, stop
  /show                        the model, the system message and the parameters
  /clear                       forgets the conversation
  /bye                         leaves, as Ctrl-D does
  /? or /help                  this
  """                          begins and ends a message of several lines; a line that ends with \\ goes on, too
  Ctrl-C                       stops the answer`;

function number(
  names: readonly string[],
  option: keyof GenerateOptions,
  minimum: number,
  maximum: number,
): Parameter {
  return { names, option, integer: false, minimum, maximum };
}

function integer(...[names, option, ...bounds]: Parameters<typeof number>): Parameter {
  return { ...number(names, option, ...bounds), integer: true };
}

/**
 * Obeys a command of a conversation.
 *
 * @param line begins with a slash
 * @param about the model, in one line
 * @returns what to print; null to leave
 */
export function obey(line: string, state: ChatState, about: string): string | null {
  const [, name = '', rest = ''] = /^\/(\S*)\s*([^]*)$/.exec(line) ?? [];
  switch (name) {
    case '?':
    case 'help':
      return HELP;
    case 'bye':
    case 'exit':
      return null;
    case 'clear':
      state.messages = [];
      return 'forgotten';
    case 'show':
      return [about, `system: ${state.system ?? 'none'}`, shownOptions(state)].join('\n');
    case 'system':
      return setSystem(rest, state);
    case 'set': {
      const [, what = '', value = ''] = /^(\S*)\s*([^]*)$/.exec(rest) ?? [];
      if (what === 'system') return setSystem(value, state);
      if (what === 'parameter') return setParameter(value, state);
      return `/set ${what}: must be /set system or /set parameter`;
    }
    default:
      return `unknown command /${name}: must be /set, /show, /clear, /bye or /?`;
  }
}

function setSystem(text: string, state: ChatState): string {
  if (text !== '') state.system = text;
  return state.system ?? 'there is no system message';
}

function setParameter(text: string, state: ChatState): string {
  if (text === '') return shownOptions(state);
  const [, name = '', value = ''] = /^(\S+)\s*([^]*)$/.exec(text) ?? [];
  if (name === 'stop') {
    const stop = value === '' ? [] : [...[state.options.stop ?? []].flat(), value];
    state.options = { ...state.options, stop };
    return shownOptions(state);
  }
  const parameter = PARAMETERS.find(({ names }) => names.includes(name));
  if (!parameter) {
    const known = PARAMETERS.flatMap(({ names }) => names).join(', ');
    return `unknown parameter ${name}: must be one of ${known}, stop`;
  }
  const { option, minimum, maximum } = parameter;
  const parsed = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  const isRight = parsed >= minimum && parsed <= maximum;
  if (!isRight || (parameter.integer && !Number.isInteger(parsed))) {
    const kind = parameter.integer ? 'an integer' : 'a number';
    return `${name} ${value === '' ? "''" : value}: must be ${kind} from ${minimum} to ${maximum}`;
  }
  state.options = { ...state.options, [option]: parsed };
  return shownOptions(state);
}

function shownOptions({ options }: ChatState): string {
  const shown = PARAMETERS.map(({ names, option }) => [names[0], options[option]] as const)
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => `${name} ${value as number}`);
  const stop = [options.stop ?? []].flat().map((text) => `stop ${JSON.stringify(text)}`);
  const all = [...shown, ...stop];
  return `parameters: ${all.length === 0 ? "the model's" : all.join(', ')}`;
}
