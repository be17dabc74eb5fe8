import { OctavoError } from '../../errors.js';
import {
  charactersOf,
  complement,
  type Expression,
  type MachineState,
  type Range,
} from './expression.js';

/** Code points of all patterns together. */
const MAX_LENGTH = 1000;

/** A beginning of patterns. */
class TrieNode {
  readonly number: number;
  readonly next = new Map<number, TrieNode>();
  /** Number of the pattern that ends here; null for none. */
  pattern: number | null = null;
  /** The longest other beginning that a text which leads here ends with; the root's is itself. */
  fail: TrieNode;

  constructor(number: number, root: TrieNode | null) {
    this.number = number;
    this.fail = root ?? this;
  }
}

/**
 * Finds the first place of a text where one of several patterns ends, while the text is written
 * (Aho and Corasick 1975): the state is the longest beginning of a pattern that the text ends with.
 */
export class Occurrences {
  readonly #nodes: TrieNode[] = [];
  readonly #alphabet = new Set<number>();

  /**
   * @param patterns not empty, and none of them occurs in another one
   * @throws OctavoError `invalid_request` when they are too long
   */
  constructor(patterns: readonly string[]) {
    const root = this.#addNode();
    for (const [number, pattern] of patterns.entries()) {
      let node = root;
      for (const character of pattern) {
        const point = character.codePointAt(0) as number;
        this.#alphabet.add(point);
        const next = node.next.get(point) ?? this.#addNode();
        node.next.set(point, next);
        node = next;
      }
      node.pattern = number;
    }
    this.#linkFailures(root);
  }

  /** Texts in which no pattern occurs. */
  none(): Expression {
    return this.#machine((pattern) => pattern === null);
  }

  /** Texts that end with a pattern, and in which no pattern ends before. */
  upTo(pattern: number): Expression {
    return this.#machine((ended) => ended === pattern);
  }

  #machine(isFinal: (pattern: number | null) => boolean): Expression {
    const rest = charactersOf(complement([...this.#alphabet].map((p): Range => [p, p])));
    const states = this.#nodes.map((node): MachineState => {
      const final = isFinal(node.pattern);
      if (node.pattern !== null) return { isFinal: final, moves: [] };
      const byTarget = new Map<number, Range[]>();
      const add = (target: TrieNode, ...ranges: readonly Range[]): void => {
        // A pattern that must not end here.
        if (target.pattern !== null && !isFinal(target.pattern)) return;
        byTarget.set(target.number, [...(byTarget.get(target.number) ?? []), ...ranges]);
      };
      if (rest.kind === 'class') add(this.#nodes[0], ...rest.ranges);
      for (const point of this.#alphabet) add(this.#step(node, point), [point, point]);
      return {
        isFinal: final,
        moves: [...byTarget].map(([target, ranges]) => ({ ranges, target })),
      };
    });
    return { kind: 'machine', states };
  }

  #step(from: TrieNode, point: number): TrieNode {
    const [root] = this.#nodes;
    for (let node = from; ; node = node.fail) {
      const next = node.next.get(point);
      if (next) return next;
      if (node === root) return root;
    }
  }

  #linkFailures(root: TrieNode): void {
    const queue = [...root.next.values()];
    for (let node = queue.shift(); node; node = queue.shift()) {
      for (const [point, child] of node.next) {
        child.fail = this.#step(node.fail, point);
        queue.push(child);
      }
    }
  }

  #addNode(): TrieNode {
    if (this.#nodes.length > MAX_LENGTH) {
      const message = `triggers and excluded texts have more than ${MAX_LENGTH} characters together`;
      throw new OctavoError('invalid_request', message);
    }
    const node = new TrieNode(this.#nodes.length, this.#nodes[0] ?? null);
    this.#nodes.push(node);
    return node;
  }
}
