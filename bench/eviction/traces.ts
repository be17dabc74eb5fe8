import { RandomStream } from '../serve/random-stream.js';
import { type Segment, type Trace, TraceBuilder } from './trace.js';

/** Lengths whose logarithm is normal, with that median. */
function length(random: RandomStream, median: number, spread: number, most: number): number {
  return Math.max(4, Math.min(most, Math.round(median * Math.exp(spread * random.normal()))));
}

/** An index from 0 on; the n-th is chosen in proportion to 1 / (n + 1) ** exponent. */
function zipf(random: RandomStream, count: number, exponent: number): number {
  const weights = Array.from({ length: count }, (_, i) => (i + 1) ** -exponent);
  let left = random.next() * weights.reduce((a, b) => a + b, 0);
  for (const [i, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return i;
  }
  return count - 1;
}

/** A text that grows by turns; each turn's prompt holds all earlier ones. */
interface Dialogue {
  readonly name: string;
  readonly segments: Segment[];
  readonly key: string | null;
  turnsLeft: number;
}

function turn(
  trace: TraceBuilder,
  dialogue: Dialogue,
  question: number,
  answer: number,
  most: number,
): void {
  const index = dialogue.segments.length;
  dialogue.segments.push({ name: `${dialogue.name} q${index}`, tokens: question });
  const reply = { name: `${dialogue.name} a${index}`, tokens: answer };
  trace.add(dialogue.segments, reply, dialogue.key);
  dialogue.segments.push(reply);
  dialogue.turnsLeft -= 1;
  const tokens = dialogue.segments.reduce((sum, segment) => sum + segment.tokens, 0);
  if (tokens > most) dialogue.turnsLeft = 0;
}

/** Many people talk at once; two in five ask once only. */
export function chat(seed: number): Trace {
  const trace = new TraceBuilder();
  const random = new RandomStream(seed, 'prompt', 0);
  const open: Dialogue[] = [];
  for (let i = 0; i < 1500; i++) {
    while (open.length < 120) {
      const turnsLeft = random.next() < 0.4 ? 1 : 2 + Math.floor(4 * random.exponential());
      const segments = [{ name: 'system', tokens: 180 }];
      open.push({ name: `chat ${i} ${open.length}`, segments, key: null, turnsLeft });
    }
    // Some answer at once, some after a long while.
    const pick = Math.floor(open.length * random.next() ** 2);
    const [dialogue] = open.splice(pick, 1);
    const isFirst = dialogue.segments.length === 1;
    turn(trace, dialogue, length(random, 45, 0.9, 600), length(random, 180, 0.7, 800), 6000);
    if (isFirst) {
      // The client asks for a title; nothing comes after it.
      const instructions = { name: 'write a title', tokens: 150 };
      const end = { name: 'end of title request', tokens: 20 };
      const title = { name: `${dialogue.name} title`, tokens: 12 };
      trace.add([instructions, ...dialogue.segments.slice(1), end], title);
    }
    if (dialogue.turnsLeft > 0) open.splice(Math.floor(random.next() * 20), 0, dialogue);
  }
  return trace.build(
    'chat',
    '120 conversations at once, 2 in 5 of one turn, the others of 6 on average; of each, a title is asked for once',
  );
}

/** Request `i`: a question behind a text that others share, and its answer; both come once. */
function ask(
  trace: TraceBuilder,
  random: RandomStream,
  i: number,
  text: Segment,
  questionTokens: number,
  key?: string,
): void {
  const question = { name: `question ${i}`, tokens: questionTokens };
  const answer = { name: `answer ${i}`, tokens: length(random, 120, 0.7, 600) };
  trace.add([text, question], answer, key);
}

/** Applications whose long system prompts all their users share; questions are asked once. */
export function systemPrompts(seed: number): Trace {
  const trace = new TraceBuilder();
  const random = new RandomStream(seed, 'prompt', 1);
  const prompts = Array.from({ length: 80 }, (_, i) => ({
    name: `system ${i}`,
    tokens: length(random, 900, 0.7, 4000),
  }));
  for (let i = 0; i < 2500; i++) {
    const system = prompts[zipf(random, prompts.length, 0.8)];
    ask(trace, random, i, system, length(random, 120, 0.8, 1500), system.name);
  }
  return trace.build('system prompts', '80 system prompts of 900 tokens, chosen by Zipf (0.8)');
}

/** Loops of a model with tools: each step adds a tool's output, which may be long. */
export function agents(seed: number): Trace {
  const trace = new TraceBuilder();
  const random = new RandomStream(seed, 'prompt', 2);
  const kinds = Array.from({ length: 4 }, (_, i) => ({
    name: `tools ${i}`,
    tokens: 1500 + 400 * i,
  }));
  const open: Dialogue[] = [];
  for (let i = 0; i < 700; i++) {
    while (open.length < 24) {
      const tools = kinds[random.integer(0, kinds.length)];
      const turnsLeft = 3 + Math.floor(8 * random.exponential());
      const name = `agent ${i} ${open.length}`;
      open.push({ name, segments: [tools], key: tools.name, turnsLeft });
    }
    // Some wait for a person or a slow tool.
    const pick = Math.floor(open.length * random.next() ** 1.5);
    const [agent] = open.splice(pick, 1);
    turn(trace, agent, length(random, 350, 1.1, 4000), length(random, 70, 0.6, 400), 14_000);
    if (agent.turnsLeft > 0) open.splice(Math.floor(random.next() * 8), 0, agent);
  }
  return trace.build(
    'agents',
    '24 tool loops at once, 11 steps on average, outputs of 350 tokens and more',
  );
}

/** Questions about documents: some at once, some when a user returns to one. */
export function documents(seed: number): Trace {
  const trace = new TraceBuilder();
  const random = new RandomStream(seed, 'prompt', 3);
  const library = Array.from({ length: 150 }, (_, i) => ({
    name: `document ${i}`,
    tokens: length(random, 2500, 0.6, 8000),
  }));
  const open: { document: Segment; left: number }[] = [];
  for (let i = 0; i < 1000; i++) {
    while (open.length < 10) {
      const document = library[zipf(random, library.length, 0.5)];
      open.push({ document, left: 1 + Math.floor(5 * random.exponential()) });
    }
    const pick = random.integer(0, open.length);
    const { document } = open[pick];
    ask(trace, random, i, document, length(random, 40, 0.6, 300));
    open[pick].left -= 1;
    if (open[pick].left <= 0) open.splice(pick, 1);
  }
  return trace.build(
    'documents',
    '150 documents of 2,500 tokens, 10 open at once, 5 questions a visit',
  );
}

/** Conversations that are interrupted by floods of prompts that never return. */
export function floods(seed: number): Trace {
  const trace = new TraceBuilder();
  const random = new RandomStream(seed, 'prompt', 4);
  const prompts = Array.from({ length: 30 }, (_, i) => ({ name: `system ${i}`, tokens: 1200 }));
  for (let i = 0; i < 1500; i++) {
    const isFlood = i % 300 >= 100;
    if (isFlood) {
      const once = { name: `once ${i}`, tokens: length(random, 900, 0.5, 3000) };
      trace.add([once], { name: `answer ${i}`, tokens: length(random, 40, 0.6, 200) });
    } else {
      const system = prompts[zipf(random, prompts.length, 0.6)];
      ask(trace, random, i, system, length(random, 100, 0.8, 1000), system.name);
    }
  }
  return trace.build(
    'floods',
    '30 system prompts; of each 300 requests, 200 are a flood that never returns',
  );
}

/**
 * A batch job that reads the same documents in the same order again and again, beside a little
 * chat.
 */
export function scans(seed: number): Trace {
  const trace = new TraceBuilder();
  const random = new RandomStream(seed, 'prompt', 5);
  const library = Array.from({ length: 200 }, (_, i) => ({
    name: `document ${i}`,
    tokens: length(random, 1500, 0.3, 4000),
  }));
  for (let i = 0; i < 1000; i++) {
    if (i % 4 === 3) {
      const question = { name: `question ${i}`, tokens: length(random, 60, 0.8, 600) };
      const answer = { name: `chat answer ${i}`, tokens: length(random, 120, 0.7, 600) };
      trace.add([{ name: 'system', tokens: 400 }, question], answer);
      continue;
    }
    const document = library[(i - Math.floor(i / 4)) % library.length];
    const question = { name: `task ${Math.floor(i / 267)}`, tokens: 60 };
    trace.add([document, question], { name: `answer ${i}`, tokens: 80 });
  }
  return trace.build(
    'scans',
    '200 documents of 1,500 tokens, read in the same order 4 times, beside chat',
  );
}

export const TRACES = [chat, systemPrompts, agents, documents, floods, scans] as const;
