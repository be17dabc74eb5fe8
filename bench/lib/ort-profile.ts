import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';

interface TraceEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly output_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
  };
}

type Create = (
  model: string,
  options: InferenceSession.SessionOptions,
) => Promise<InferenceSession>;

export interface OperatorTime {
  /** Operator and the width of what it makes. */
  readonly operator: string;
  /** Nodes a step. */
  readonly count: number;
  /** A step, all of them. */
  readonly ms: number;
}

/**
 * Has ONNX Runtime profile every session that is created while `create` runs, and tells where the
 * time of their last runs went. Profiling costs some microseconds for each node: many small ones
 * seem dearer than they are.
 */
export class OrtProfile {
  readonly #directory = mkdtempSync(join(tmpdir(), 'octavo-profile-'));
  readonly #sessions = new Map<number, InferenceSession>();
  #created = 0;

  async during<T>(create: () => Promise<T>): Promise<T> {
    const factory: { create: Create } = InferenceSession;
    const original = factory.create;
    factory.create = async (model, options) => {
      const index = this.#created++;
      const profileFilePrefix = join(this.#directory, `${index}-`);
      const more = { ...options, enableProfiling: true, profileFilePrefix };
      const session = await original.call(InferenceSession, model, more);
      this.#sessions.set(index, session);
      // The import's own sessions, which look at parts of the graph, are gone before the model
      // runs.
      const release = session.release.bind(session);
      session.release = () => {
        this.#sessions.delete(index);
        return release();
      };
      return session;
    };
    try {
      return await create();
    } finally {
      factory.create = original;
    }
  }

  /**
   * Ends profiling.
   *
   * @param steps how many of the last runs of each session count
   * @returns the costliest first
   */
  finish(steps: number): OperatorTime[] {
    const found = new Map<string, { count: number; us: number }>();
    for (const [index, session] of this.#sessions) {
      session.endProfiling();
      const events = this.#read(index);
      const runs = events.filter(({ name }) => name === 'model_run').slice(-steps);
      const [first] = runs;
      for (const { cat, name, ts, dur, args } of events) {
        if (cat !== 'Node' || !name.endsWith('_kernel_time') || ts < first.ts) continue;
        const [shape] = Object.values(args?.output_type_shape?.[0] ?? {});
        const operator = `${args?.op_name ?? '?'}, ${shape?.at(-1) ?? 1} wide`;
        const known = found.get(operator) ?? { count: 0, us: 0 };
        found.set(operator, { count: known.count + 1, us: known.us + dur });
      }
    }
    rmSync(this.#directory, { recursive: true });
    return [...found]
      .map(([operator, { count, us }]) => ({
        operator,
        count: count / steps,
        ms: us / steps / 1000,
      }))
      .sort((a, b) => b.ms - a.ms);
  }

  /** ONNX Runtime puts the time behind the prefix. */
  #read(index: number): TraceEvent[] {
    const name = readdirSync(this.#directory).find((file) => file.startsWith(`${index}-`));
    if (name === undefined) throw new Error(`session ${index} has left no profile`);
    return JSON.parse(readFileSync(join(this.#directory, name), 'utf8')) as TraceEvent[];
  }
}
