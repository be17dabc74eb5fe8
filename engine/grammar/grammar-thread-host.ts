import { Worker } from 'node:worker_threads';
import type { GrammarRequest } from '../core/grammar-source.js';
import { fromErrorRecord, OctavoError } from '../errors.js';
import type { GrammarSpec } from '../protocol/request.js';
import { MaskSlot } from './mask-slot.js';
import type {
  GrammarCommand,
  GrammarReply,
  GrammarThreadOptions,
  MatcherMove,
} from './messages.js';
import { type MatcherHost, ThreadConstraint } from './thread-constraint.js';

/** A compiled grammar in a thread. */
export interface ThreadGrammar {
  readonly id: number;
  /** Number of matchers that use it. */
  live: number;
}

interface Waiter {
  resolve: () => void;
  reject: (error: OctavoError) => void;
}

/** What a thread is compiling. */
interface Compilation extends Waiter {
  readonly startedAt: number;
  budgetMs: number;
  timer: NodeJS.Timeout | null;
  /** Description of its sizes, for messages; set when the grammar has been written out. */
  size: string;
}

/** The engine's side of one grammar thread. */
export class GrammarThreadHost implements MatcherHost {
  readonly vocabSize: number;
  /** By the grammar's key, least recently used first. */
  readonly grammars = new Map<string, ThreadGrammar>();
  readonly #worker: Worker;
  readonly #onIdle: () => void;
  readonly #constraints = new Map<number, ThreadConstraint>();
  readonly #starting = new Map<number, Waiter>();
  readonly #ready: Promise<void>;
  #loading: Waiter | null = null;
  #compiling: Compilation | null = null;
  /** Of the compilation that waits until the thread is loaded; null: none does. */
  #waitingBudgetMs: number | null = null;
  #moves: MatcherMove[] = [];
  /** By matcher: resolves the wait until all requests to the matcher are done. */
  readonly #settling = new Map<number, () => void>();
  #count = 0;
  #memoryBytes = 0;
  #lost: OctavoError | null = null;

  /** @param onIdle called when the last matcher is gone, or the thread has ended */
  constructor(options: GrammarThreadOptions, onIdle: () => void) {
    this.vocabSize = options.vocabSize;
    this.#onIdle = onIdle;
    const fromSources = import.meta.url.endsWith('.ts');
    const entry = fromSources ? './grammar-thread-dev.mjs' : './grammar-thread.js';
    this.#worker = new Worker(new URL(entry, import.meta.url), { workerData: options });
    this.#worker.on('message', (reply: GrammarReply) => this.#receive(reply));
    this.#worker.on('error', (error) => this.end(error.message));
    this.#worker.on('exit', () => this.end('it ended'));
    this.#worker.unref();
    this.#ready = this.#reply((waiter) => {
      this.#loading = waiter;
    });
    this.#ready.catch(() => undefined);
  }

  /** Number of matchers in use: no compilation may delay them. */
  get live(): number {
    return this.#constraints.size;
  }

  /** The clients of these matchers. */
  get clients(): ReadonlySet<string> {
    return new Set([...this.#constraints.values()].map(({ client }) => client));
  }

  /** Milliseconds since the present compilation began; 0 when there is none. */
  get compilingMs(): number {
    return this.#compiling ? performance.now() - this.#compiling.startedAt : 0;
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** True once the thread has ended, which is final. */
  get hasEnded(): boolean {
    return this.#lost !== null;
  }

  /**
   * Compiles a grammar. Call it for one grammar at a time, and only while `live` is 0.
   *
   * @throws OctavoError `invalid_request`; the thread may have ended, too
   */
  async compile(key: string, spec: GrammarSpec, timeoutMs: number): Promise<void> {
    this.#waitingBudgetMs = timeoutMs;
    // The time for loading does not count.
    await this.#ready;
    const budgetMs = this.#waitingBudgetMs;
    this.#waitingBudgetMs = null;
    const id = this.#count++;
    const done = this.#reply((waiter) => {
      const startedAt = performance.now();
      this.#compiling = { ...waiter, startedAt, budgetMs, timer: null, size: '' };
    });
    this.#send({ type: 'compile', grammar: id, spec });
    this.hurry(budgetMs);
    try {
      await done;
      this.grammars.set(key, { id, live: 0 });
    } finally {
      if (this.#compiling?.timer) clearTimeout(this.#compiling.timer);
      this.#compiling = null;
    }
  }

  /**
   * Limits the present compilation to this many more milliseconds, also one that waits until the
   * thread is loaded.
   */
  hurry(budgetMs: number): void {
    if (this.#waitingBudgetMs !== null) {
      this.#waitingBudgetMs = Math.min(this.#waitingBudgetMs, budgetMs);
    }
    const compiling = this.#compiling;
    if (!compiling) return;
    compiling.budgetMs = Math.min(compiling.budgetMs, budgetMs);
    if (compiling.timer) clearTimeout(compiling.timer);
    const giveUp = (): void => {
      const what = compiling.size === '' ? '' : `: ${compiling.size}`;
      this.end(`it took more than ${compiling.budgetMs / 1000} s${what}`);
    };
    compiling.timer = setTimeout(giveUp, compiling.budgetMs).unref();
  }

  /** @returns constraints, once their first masks are known */
  async match(key: string, request: GrammarRequest): Promise<ThreadConstraint[]> {
    const grammar = this.grammars.get(key);
    if (!grammar) throw new Error('the grammar is not in this thread');
    this.grammars.delete(key);
    this.grammars.set(key, grammar);
    const { stopTokenIds, eosTokenIds, isLongest } = request;
    const constraints = Array.from({ length: request.count }, () => {
      const matcher = this.#count++;
      const slot = MaskSlot.create(this.vocabSize);
      const constraint = new ThreadConstraint(
        this,
        { matcher, slot, grammar, client: request.client },
        new Set(stopTokenIds),
      );
      this.#constraints.set(matcher, constraint);
      grammar.live += 1;
      return constraint;
    });
    const started = constraints.map(({ matcher, slot }) => {
      const done = this.#reply((waiter) => this.#starting.set(matcher, waiter));
      this.#send({
        type: 'match',
        grammar: grammar.id,
        matcher,
        slot: slot.buffer,
        stopTokenIds,
        eosTokenIds,
        isLongest,
      });
      return done;
    });
    await Promise.all(started);
    return constraints;
  }

  forget(key: string): void {
    const grammar = this.grammars.get(key);
    this.grammars.delete(key);
    if (grammar) this.#send({ type: 'forget', grammar: grammar.id });
  }

  /** The tokens of one step are sent in one message, after the last of them. */
  advance(move: MatcherMove): void {
    this.#moves.push(move);
    if (this.#moves.length === 1) queueMicrotask(() => this.flush());
  }

  flush(): void {
    if (this.#moves.length === 0) return;
    this.#send({ type: 'advance', moves: this.#moves });
    this.#moves = [];
  }

  /**
   * Only one wait for each matcher at a time. A thread that does not answer in time is ended, so a
   * late answer cannot arrive.
   */
  async settle(matcher: number, timeoutMs: number): Promise<void> {
    if (this.#lost) return;
    this.flush();
    this.#send({ type: 'settle', matcher });
    const reason = `a mask took more than ${timeoutMs / 1000} s`;
    const timer = setTimeout(() => this.end(reason), timeoutMs).unref();
    await new Promise<void>((resolve) => this.#settling.set(matcher, resolve));
    clearTimeout(timer);
  }

  release(constraint: ThreadConstraint): void {
    if (!this.#constraints.delete(constraint.matcher)) return;
    constraint.grammar.live -= 1;
    this.#settled(constraint.matcher);
    this.#send({ type: 'release', matcher: constraint.matcher });
    if (this.live === 0) this.#onIdle();
  }

  /** Ends the thread; everything that waits for it fails. Idempotent. */
  end(reason: string): void {
    // The error blames the grammar that was being compiled, not matchers or other grammars.
    this.#end(
      new OctavoError('internal', `a grammar thread has ended: ${reason}`),
      new OctavoError('invalid_request', `the grammar cannot be compiled: ${reason}`),
    );
  }

  async close(): Promise<void> {
    const closing = new OctavoError('draining', 'the engine is closing');
    this.#end(closing, closing);
    await this.#worker.terminate();
  }

  #end(lost: OctavoError, ofCompilation: OctavoError): void {
    if (this.#lost) return;
    this.#lost = lost;
    void this.#worker.terminate();
    this.#loading?.reject(lost);
    this.#compiling?.reject(ofCompilation);
    for (const waiter of this.#starting.values()) waiter.reject(lost);
    this.#starting.clear();
    for (const constraint of this.#constraints.values()) constraint.fail(lost);
    for (const matcher of this.#settling.keys()) this.#settled(matcher);
    this.#onIdle();
  }

  #settled(matcher: number): void {
    this.#settling.get(matcher)?.();
    this.#settling.delete(matcher);
  }

  #send(command: GrammarCommand): void {
    if (!this.#lost) this.#worker.postMessage(command);
  }

  #reply(expect: (waiter: Waiter) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#lost) reject(this.#lost);
      else expect({ resolve, reject });
    });
  }

  #receive(reply: GrammarReply): void {
    switch (reply.type) {
      case 'ready':
        this.#loading?.resolve();
        break;
      case 'written':
        if (this.#compiling) this.#compiling.size = reply.size;
        break;
      case 'compiled':
        this.#memoryBytes = reply.memoryBytes;
        this.#compiling?.resolve();
        break;
      case 'refused':
        this.#compiling?.reject(fromErrorRecord(reply.error));
        break;
      case 'matching':
        this.#starting.get(reply.matcher)?.resolve();
        this.#starting.delete(reply.matcher);
        break;
      case 'settled':
        this.#settled(reply.matcher);
        break;
      case 'aborted':
        this.end(reply.reason);
        break;
    }
  }
}
