import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** A value of a table's cell; numbers are printed with three significant digits. */
export type Cell = string | number;

export interface Report {
  /** File name of the results, without ending. */
  readonly name: string;
  readonly command: string;
  /** What was measured and how, in a sentence or two. */
  readonly about: string;
  /** Of what else took part, such as `node-llama-cpp 3.22.1`. */
  readonly versions?: readonly string[];
  /** For the JSON file only. */
  readonly raw?: object;
  /** A file beside the tables, as SVG; the page shows it. */
  readonly plot?: string;
  readonly tables: readonly {
    readonly title: string;
    readonly columns: readonly string[];
    readonly rows: readonly (readonly Cell[])[];
  }[];
}

/** The command that a benchmark was started with. */
export function commandLine(script: string): string {
  const words = process.argv.slice(2).map((word) => (/[ ;]/.test(word) ? `"${word}"` : word));
  return words.length > 0 ? `npm run ${script} -- ${words.join(' ')}` : `npm run ${script}`;
}

/** The commit of a checkout; default: the working directory's. */
export function commitOf(cwd = '.'): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { encoding: 'utf8', cwd }).trim();
  const isClean = git('status', '--porcelain', '--untracked-files=no') === '';
  return `${git('rev-parse', '--short', 'HEAD')}${isClean ? '' : ' (with changes)'}`;
}

/**
 * Prints the report and writes it to bench/results/ as JSON and Markdown, with machine, versions
 * and commit.
 */
export function publish({ plot, ...report }: Report): void {
  const machine = describeMachine(report.versions ?? []);
  const lines = [`# ${report.name}`, '', report.about, '', `\`${report.command}\``, ''];
  for (const [key, value] of Object.entries(machine)) lines.push(`- ${key}: ${value}`);
  for (const { title, columns, rows } of report.tables) {
    lines.push('', `## ${title}`, '', row(columns), row(columns.map(() => '---')));
    lines.push(...rows.map((cells) => row(cells.map(format))));
  }
  if (plot !== undefined) lines.push('', `![${report.name}](${report.name}.svg)`);
  const markdown = `${lines.join('\n')}\n`;
  const directory = fileURLToPath(new URL('../results', import.meta.url));
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/${report.name}.md`, markdown);
  if (plot !== undefined) writeFileSync(`${directory}/${report.name}.svg`, plot);
  const json = JSON.stringify({ ...report, machine }, null, 1);
  writeFileSync(`${directory}/${report.name}.json`, `${json}\n`);
  process.stdout.write(markdown);
}

function describeMachine(others: readonly string[]): Record<string, string> {
  const [cpu] = cpus();
  const runtime = JSON.parse(
    readFileSync(
      new URL('../../node_modules/onnxruntime-node/package.json', import.meta.url),
      'utf8',
    ),
  ) as { version: string };
  return {
    processor: [cpu?.model ?? 'unknown', `${cpus().length} cores`, arch(), ...vectors()].join(', '),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    versions: [
      `Node ${process.versions.node}`,
      `onnxruntime-node ${runtime.version}`,
      ...others,
    ].join(', '),
    commit: commitOf(),
    date: new Date().toISOString().slice(0, 10),
  };
}

/**
 * Instruction sets that decide how fast products are, where the system tells: two machines of one
 * name may differ by 4.
 */
function vectors(): string[] {
  if (!existsSync('/proc/cpuinfo')) return [];
  const flags = new Set(
    /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '),
  );
  return ['avx2', 'avx512f', 'avx_vnni', 'avx512_vnni', 'amx_int8'].filter((name) =>
    flags.has(name),
  );
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function format(cell: Cell): string {
  if (typeof cell === 'string') return cell;
  return String(Number.isInteger(cell) ? cell : Number(cell.toPrecision(3)));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
