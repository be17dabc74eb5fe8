import { describe, expect, it } from 'vitest';
import { OctavoError } from '../../../engine/errors.js';
import {
  type EngineLoad,
  Queue,
  type QueuedRequest,
  type QueueLimits,
} from '../../../server/limits/queue.js';

interface Entry extends QueuedRequest {
  enteredAt: number;
  still: boolean;
}

/** A queue with a clock of its own, in front of an engine whose load is set by hand. */
class Setting {
  readonly queue: Queue;
  ms = 0;
  load: EngineLoad = { running: 0, waiting: 0 };

  constructor(limits: Partial<QueueLimits>, random = 0) {
    this.queue = new Queue(
      { maxRequests: 0, maxTokens: 0, maxSeconds: 0, slots: 1, ...limits },
      () => this.load,
      () => this.ms,
      () => random,
    );
  }

  readonly enter = (promptTokens = 1, sequences = 1): Entry => {
    const entry: Entry = {
      promptTokens,
      sequences,
      enteredAt: this.ms,
      still: true,
      waits: () => entry.still,
    };
    this.queue.enter(entry);
    return entry;
  };

  enterMany(count: number): Entry[] {
    return Array.from({ length: count }, () => this.enter());
  }

  /** The sequence ends now, having held its slot for `heldMs`. */
  end(entry: Entry, heldMs: number): void {
    this.queue.leave(entry, this.ms - entry.enteredAt - heldMs);
  }

  refusal(): OctavoError {
    try {
      this.queue.assertRoom();
    } catch (error) {
      if (error instanceof OctavoError) return error;
      throw error;
    }
    throw new Error('it would be let in');
  }
}

describe('by number', () => {
  it('counts those that wait, not those that have begun', () => {
    const { queue, enter } = new Setting({ maxRequests: 2 });
    const [a, b] = [enter(), enter()];
    expect(enter).toThrow('2 requests wait already; at most 2 may');
    a.still = false;
    enter();
    queue.leave(b, null);
    queue.leave(b, null);
    enter();
    expect(enter).toThrow('overloaded');
  });

  it('counts prompt tokens, but lets a large prompt in when none waits', () => {
    const { queue, enter } = new Setting({ maxTokens: 100 });
    const large = enter(500);
    expect(() => enter(1)).toThrow('500 prompt tokens wait already; at most 100 may');
    queue.leave(large, null);
    enter(60);
    enter(40);
    expect(() => enter(1)).toThrow('overloaded');
  });
});

describe('by time', () => {
  const LIMITS = { maxSeconds: 2, slots: 4 };

  /** Four slots that are held for `heldMs` each, measured; all are taken, and none waits. */
  function measured(heldMs: number, load: EngineLoad = { running: 4, waiting: 1 }, random = 0) {
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

  it('lets in what can be expected to start in time', () => {
    const { queue, enter } = measured(400);
    expect(queue.expectedSeconds).toBeCloseTo(0.1);
    let waiting = 0;
    while (queue.expectedSeconds <= 2) {
      enter();
      waiting += 1;
    }
    expect(waiting).toBe(20);
    expect(enter).toThrow('would wait about 2.1 s for its turn; at most 2 s are allowed');
  });

  it('counts the slots that a request takes', () => {
    const { queue, enter } = measured(400);
    enter(1, 15);
    expect(queue.expectedSeconds).toBeCloseTo(1.6);
  });

  it('never refuses a request for which a slot is free, or behind which none waits', () => {
    const { enter } = measured(3_600_000);
    enter();
    expect(enter).toThrow('overloaded');
  });

  it('lets as many wait as can run, until something is measured', () => {
    const setting = new Setting(LIMITS);
    setting.enterMany(8);
    expect(setting.enter).toThrow('overloaded');
  });

  it('does not measure what never got a slot, nor the time before it', () => {
    const setting = measured(400);
    setting.queue.leave(setting.enter(), null);
    const late = setting.enter();
    setting.ms += 60_000;
    setting.end(late, 400);
    expect(setting.queue.expectedSeconds).toBeCloseTo(0.1);
  });

  it('knows that fewer run than may where the cache holds no more', () => {
    const { queue } = measured(400, { running: 2, waiting: 9 });
    expect(queue.expectedSeconds).toBeCloseTo(0.6, 1);
  });

  it('follows a load that changes', () => {
    const setting = measured(400);
    for (let i = 0; i < 40; i++) {
      const entry = setting.enter();
      setting.ms += 4000;
      setting.end(entry, 4000);
    }
    expect(setting.queue.expectedSeconds).toBeCloseTo(1, 1);
  });

  it('tells clients to stay away for the expected wait, and spreads them over as much again', () => {
    const overloaded = (heldMs: number, random: number): OctavoError => {
      const setting = measured(heldMs, undefined, random);
      while (setting.queue.expectedSeconds <= 2) setting.enter();
      return setting.refusal();
    };
    expect(overloaded(400, 0).retryAfterSeconds).toBe(3);
    expect(overloaded(400, 0.999).retryAfterSeconds).toBe(6);
  });
});
