import { parentPort, workerData } from 'node:worker_threads';
import { OctavoError, toErrorRecord } from '../errors.js';
import { readTokenBytes } from '../text/tokenizer/vocabulary.js';
import { FINAL_STEP, MAX_FORCED_TOKENS, MaskSlot, SLOT } from './mask-slot.js';
import type {
  GrammarCommand,
  GrammarReply,
  GrammarThreadOptions,
  MatcherMove,
} from './messages.js';
import { Speller } from './speller.js';
import { grammarText } from './to-grammar.js';
import {
  type CompiledGrammar,
  encodeVocabulary,
  loadXgrammar,
  type Matcher,
  watchMemory,
} from './xgrammar.js';

// A grammar thread: one instance of the library, the grammars that it has compiled, and their
// matchers. It runs commands one after the other; the pool decides which work may wait.

const port = parentPort;
if (!port) throw new Error('grammars are compiled in a worker thread');
const { modelDir, vocabSize } = workerData as GrammarThreadOptions;
const reply = (message: GrammarReply): void => port.postMessage(message);

// Before the library aborts, it prints the reason to the console, and nowhere else.
let lastWords = '';
console.error = (...words: unknown[]) => {
  const line = words.join(' ');
  if (!line.startsWith('Aborted')) lastWords = line.replace(/^\[FATAL\] \S+ /, '');
};

interface Matching {
  readonly matcher: Matcher;
  readonly slot: MaskSlot;
  readonly stopTokenIds: readonly number[];
  readonly isLongest: boolean;
  /** A token was refused; later moves are ignored. */
  isRejected: boolean;
}

const memoryBytes = watchMemory();
const library = loadXgrammar();
const grammars = new Map<number, CompiledGrammar>();
const matchings = new Map<number, Matching>();

// A vocabulary of 152k tokens takes half a second; commands wait until it is loaded.
const tokenBytes = await readTokenBytes(modelDir, vocabSize);
const encoded = encodeVocabulary(tokenBytes);
const speller = new Speller(tokenBytes);
const { TokenizerInfo, GrammarCompiler } = library;
const info = await TokenizerInfo.createTokenizerInfo(encoded, 'byte_level', false, vocabSize, []);
// Without the library's own cache, which is unbounded.
const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
reply({ type: 'ready' });

async function compile({
  grammar,
  spec,
}: Extract<GrammarCommand, { type: 'compile' }>): Promise<void> {
  let source: string;
  try {
    source = grammarText(spec);
  } catch (error) {
    if (!(error instanceof OctavoError)) throw error;
    reply({ type: 'refused', error: toErrorRecord(error) });
    return;
  }
  reply({ type: 'written', size: sizeOf(source) });
  grammars.set(grammar, await compiler.compileGrammar(source));
  reply({ type: 'compiled', memoryBytes: memoryBytes() });
}

/**
 * Every state of a pattern, and every position of a string with bounded length, is a separate rule.
 */
const sizeOf = (source: string): string =>
  `it has ${source.split('\n').length - 1} states and rules for a vocabulary of ${vocabSize} tokens; fewer alternatives ` +
  'and shorter repetitions, minLength and maxLength compile faster';

async function match(command: Extract<GrammarCommand, { type: 'match' }>): Promise<void> {
  const { stopTokenIds, eosTokenIds, isLongest } = command;
  const grammar = grammars.get(command.grammar);
  if (!grammar) throw new Error(`grammar ${command.grammar} is not here`);
  const matcher = await library.GrammarMatcher.createGrammarMatcher(grammar, eosTokenIds, true);
  const slot = new MaskSlot(command.slot);
  const matching = { matcher, slot, stopTokenIds, isLongest, isRejected: false };
  matchings.set(command.matcher, matching);
  await computeMask(matching, 1);
  reply({ type: 'matching', matcher: command.matcher });
}

/**
 * Of several moves of one matcher, only the last one's mask is computed: the others are never read.
 */
async function advance(moves: readonly MatcherMove[]): Promise<void> {
  const steps = new Map<Matching, number>();
  for (const move of moves) {
    const matching = matchings.get(move.matcher);
    if (!matching || matching.isRejected) continue;
    if ('rollback' in move) matching.matcher.rollBack(move.rollback);
    else matching.isRejected = !matching.matcher.acceptToken(move.token);
    steps.set(matching, move.step);
  }
  for (const [matching, step] of steps) {
    if (matching.isRejected) matching.slot.finish(FINAL_STEP, SLOT.rejected);
    else await computeMask(matching, step);
  }
}

async function computeMask(matching: Matching, step: number): Promise<void> {
  const { matcher, slot, stopTokenIds, isLongest } = matching;
  const mask = await matcher.getNextTokenBitmask();
  // The mask does not state it: where nearly all tokens may follow, the library omits its stop
  // tokens.
  const mayEnd = matcher.isTerminated();
  // A stop token may also be text. It ends the sequence wherever it occurs, so the text must not
  // contain it.
  for (const token of stopTokenIds) mask[token >>> 5] &= ~(1 << (token & 31));
  const canGoOn = mask.some((word) => word !== 0);
  if (mayEnd && !(isLongest && canGoOn)) {
    for (const token of stopTokenIds) mask[token >>> 5] |= 1 << (token & 31);
  }
  slot.mask.set(mask);
  const forced = mayEnd ? '' : matcher.findJumpForwardString();
  const tokens = forced === '' ? [] : speller.spell(forced, MAX_FORCED_TOKENS);
  slot.finish(step, canGoOn || mayEnd ? SLOT.ready : SLOT.deadEnd, tokens);
}

async function handle(command: GrammarCommand): Promise<void> {
  switch (command.type) {
    case 'compile':
      return compile(command);
    case 'match':
      return match(command);
    case 'advance':
      return advance(command.moves);
    case 'settle':
      reply({ type: 'settled', matcher: command.matcher });
      return;
    case 'release':
      matchings.get(command.matcher)?.matcher.dispose();
      matchings.delete(command.matcher);
      return;
    case 'forget':
      grammars.get(command.grammar)?.dispose();
      grammars.delete(command.grammar);
      return;
  }
}

let isLost = false;

async function run(command: GrammarCommand): Promise<void> {
  if (isLost) return;
  try {
    await handle(command);
  } catch (error) {
    isLost = true;
    for (const { slot } of matchings.values()) slot.finish(FINAL_STEP, SLOT.lost);
    const message = error instanceof Error ? error.message : String(error);
    reply({ type: 'aborted', reason: lastWords === '' ? message : lastWords });
  }
}

let work = Promise.resolve();
port.on('message', (command: GrammarCommand) => {
  work = work.then(() => run(command));
});
