import { describe, expect, it } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import type { EngineLoad } from '../../../server/limits/expected-wait.js';
import { Queue, type QueuedRequest, type QueueLimits } from '../../../server/limits/queue.js';

interface Entry extends QueuedRequest {
  enteredAt: number;
  firstTokenAt: number | null;
  tokens: number;
  isPaused: boolean;
}

/** What a request may generate, and generates. */
const TOKENS = 100;

/** All run that may, and one waits for memory. */
const BUSY: EngineLoad = { running: 4, waiting: 1, memoryInUse: 0.9 };

/** A queue with a clock of its own, in front of an engine whose load is set by hand. */
class Setting {
  readonly queue: Queue;
  ms = 0;
  load: EngineLoad = { running: 0, waiting: 0, memoryInUse: 0 };

  constructor(limits: Partial<QueueLimits>, random = 0) {
    this.queue = new Queue(
      { maxRequests: 0, maxTokens: 0, maxSeconds: 0, slots: 1, ...limits },
      () => this.load,
      () => this.ms,
      () => random,
    );
  }

  readonly enter = (promptTokens = 1, sequences = 1, client = 'a'): Entry => {
    const entry: Entry = {
      client,
      promptTokens,
      sequences,
      maxTokens: TOKENS,
      enteredAt: this.ms,
      firstTokenAt: null,
      tokens: 0,
      isPaused: false,
      progress: () => entry,
    };
    this.queue.enter(entry);
    return entry;
  };

  enterMany(count: number): Entry[] {
    return Array.from({ length: count }, () => this.enter());
  }

  /** Its first token comes now. */
  begin(entry: Entry): void {
    entry.firstTokenAt = this.ms;
    entry.tokens = entry.sequences;
  }

  /**
   * It ends now, with all its tokens, having held its slot for `heldMs`, of which none went into
   * the prompt.
   */
  end(entry: Entry, heldMs: number): void {
    entry.firstTokenAt ??= this.ms - heldMs;
    entry.tokens = (TOKENS + 1) * entry.sequences;
    this.queue.leave(entry, { queueMs: this.ms - entry.enteredAt - heldMs, prefillMs: 0 });
  }

  /** It ends now, without having had a slot. */
  drop(entry: Entry): void {
    this.queue.leave(entry, { queueMs: null, prefillMs: null });
  }

  refusal(client = 'a'): OctavoError {
    try {
      this.queue.assertRoom(client);
    } catch (error) {
      if (error instanceof OctavoError) return error;
      throw error;
    }
    throw new Error('it would be let in');
  }
}

describe('by number', () => {
  it('counts those that wait, not those that have begun', () => {
    const setting = new Setting({ maxRequests: 2 });
    const { enter } = setting;
    const [a, b] = [enter(), enter()];
    expect(enter).toThrow('2 requests wait already; at most 2 may');
    setting.begin(a);
    enter();
    setting.drop(b);
    setting.drop(b);
    enter();
    expect(enter).toThrow('overloaded');
  });

  it('counts prompt tokens, but lets a large prompt in when none waits', () => {
    const setting = new Setting({ maxTokens: 100 });
    const { enter } = setting;
    const large = enter(500);
    expect(() => enter(1)).toThrow('500 prompt tokens wait already; at most 100 may');
    setting.drop(large);
    enter(60);
    enter(40);
    expect(() => enter(1)).toThrow('overloaded');
  });

  it('leaves a quarter of the places to other clients', () => {
    const setting = new Setting({ maxRequests: 12 });
    setting.enterMany(9);
    expect(setting.enter).toThrow('9 of the same client wait already, which is its share');
    setting.enter(1, 1, 'b');
    setting.enter(1, 1, 'c');
    setting.enter(1, 1, 'd');
    expect(() => setting.enter(1, 1, 'e')).toThrow('12 requests wait already; at most 12 may');
  });

  it('leaves a quarter of the prompt tokens to other clients', () => {
    const setting = new Setting({ maxTokens: 120 });
    setting.enter(80);
    setting.enter(20);
    expect(() => setting.enter(1)).toThrow('2 of the same client wait already');
    setting.enter(20, 1, 'b');
  });
});

describe('by time', () => {
  const LIMITS = { maxSeconds: 2, slots: 4 };

  /**
   * Four slots that are held for `heldMs` each, measured; all are taken by requests without a token
   * yet, and none waits.
   */
  function measured(heldMs: number, load: EngineLoad = BUSY, random = 0) {
    const setting = new Setting(LIMITS, random);
    setting.load = load;
    for (let i = 0; i < 40; i++) {
      const entry = setting.enter();
      setting.ms += heldMs;
      setting.end(entry, heldMs);
    }
    setting.enterMany(4);
    return setting;
  }

  it('lets in what can be expected to start in time, with a margin', () => {
    const setting = measured(400);
    const { queue } = setting;
    expect(queue.expectedSeconds).toBeCloseTo(0.4);
    for (let waiting = 1; waiting <= 16; waiting++) {
      setting.enter(1, 1, `client ${waiting}`);
      expect(queue.expectedSeconds).toBeCloseTo(0.4 * (1 + Math.floor(waiting / 4)));
    }
    expect(setting.enter).toThrow('would wait about 2.0 s for its turn; at most 2 s are allowed');
  });

  it('knows how far those that run have come, and takes the slot that becomes free first', () => {
    const setting = new Setting(LIMITS);
    for (let i = 0; i < 40; i++) {
      const entry = setting.enter();
      setting.ms += 4000;
      setting.end(entry, 4000);
    }
    const running = setting.enterMany(4);
    for (const entry of running) setting.begin(entry);
    expect(setting.queue.expectedSeconds).toBeCloseTo(4, 0);
    setting.ms += 3000;
    for (const entry of running) entry.tokens += 70;
    running[3].tokens += 20;
    setting.enter();
    // Ten tokens are missing to the one, 30 to the others, and the one that waits comes first.
    expect(setting.queue.expectedSeconds).toBeCloseTo(1.2, 0);
    expect(setting.queue.expectedSeconds).toBeLessThan(1.5);
  });

  it('counts the slots that a request takes', () => {
    const { queue, enter } = measured(400);
    enter(1, 15);
    expect(queue.expectedSeconds).toBeCloseTo(1.6);
  });

  it('does not count streams that are paused', () => {
    const setting = measured(3_600_000);
    const paused = setting.enter();
    expect(setting.enter).toThrow('overloaded');
    setting.begin(paused);
    paused.isPaused = true;
    setting.ms += 100;
    setting.enter();
  });

  it('never refuses a request for which a slot is free, or behind which none waits', () => {
    const { enter } = measured(3_600_000);
    enter();
    expect(enter).toThrow('overloaded');
  });

  it('lets as many wait as can run, until something is measured', () => {
    const setting = new Setting(LIMITS);
    setting.enterMany(4);
    for (let i = 0; i < 4; i++) setting.enter(1, 1, `client ${i}`);
    expect(setting.enter).toThrow('overloaded');
  });

  it('leaves places to other clients', () => {
    const setting = measured(400);
    let waiting = 0;
    while (waiting < 16) {
      try {
        setting.enter();
      } catch (error) {
        expect(String(error)).toContain(`${waiting} of the same client wait already`);
        break;
      }
      waiting += 1;
    }
    expect(waiting).toBeGreaterThanOrEqual(12);
    expect(waiting).toBeLessThan(16);
    setting.enter(1, 1, 'b');
  });

  it('does not measure what never got a slot, nor the time before it', () => {
    const setting = measured(400);
    for (let i = 0; i < 40; i++) {
      const entry = setting.enter();
      entry.firstTokenAt = setting.ms + 200;
      entry.tokens = TOKENS + 1;
      setting.ms += 400;
      setting.queue.leave(entry, { queueMs: 0, prefillMs: 200 });
    }
    for (let i = 0; i < 40; i++) setting.drop(setting.enter());
    expect(setting.queue.expectedSeconds).toBeGreaterThan(0.38);
    const late = setting.enter();
    setting.ms += 60_000;
    setting.end(late, 400);
    expect(setting.queue.expectedSeconds).toBeGreaterThan(0.38);
    expect(setting.queue.expectedSeconds).toBeLessThan(1);
  });

  it('knows that fewer run than may where the cache holds no more', () => {
    const { queue } = measured(400, { running: 2, waiting: 9, memoryInUse: 0.9 });
    // Two run, two wait.
    expect(queue.expectedSeconds).toBeCloseTo(0.8, 1);
  });

  it('does not take sequences that end together for a lack of slots', () => {
    const { queue } = measured(400, { running: 1, waiting: 3, memoryInUse: 0.1 });
    expect(queue.expectedSeconds).toBeCloseTo(0.4, 1);
    // The next one is the first to wait.
    queue.assertRoom('client');
  });

  it('follows a load that changes', () => {
    const setting = measured(400);
    for (let i = 0; i < 60; i++) {
      const entry = setting.enter();
      setting.ms += 4000;
      setting.end(entry, 4000);
    }
    expect(setting.queue.expectedSeconds).toBeGreaterThan(3.5);
  });

  it('tells clients to stay away for the expected wait, and spreads them over as much again', () => {
    const overloaded = (random: number): OctavoError => {
      const setting = measured(400, undefined, random);
      for (let i = 0; i < 16; i++) setting.enter(1, 1, `client ${i}`);
      return setting.refusal();
    };
    expect(overloaded(0).retryAfterSeconds).toBe(2);
    expect(overloaded(0.999).retryAfterSeconds).toBe(4);
  });
});
