/** A report of `npm run bench:quality`, as its JSON file has it. */
export interface QualityReport {
  readonly tables: readonly {
    readonly title: string;
    readonly rows: readonly (readonly (string | number)[])[];
  }[];
}

const [BEGIN, END] = ['<!-- quality: written by npm run bench:quality -->', '<!-- /quality -->'];

/**
 * A page with the report's comparison between its two marks: perplexities of float32, and how far
 * others are from them.
 */
export function withQualityTable(page: string, report: QualityReport): string {
  const [before, rest = ''] = page.split(BEGIN);
  const [, after] = rest.split(END);
  if (after === undefined) throw new Error(`the page has no ${BEGIN} with ${END} behind it`);
  const rows = report.tables.find(({ title }) => title === 'Against float32')?.rows ?? [];
  const lines = rows.map(([name, accuracy, , answers, answersChange, stories, change], i) => {
    const [own, told] = i === 0 ? [answers, stories] : [answersChange, change];
    return [String(name).replace(/^none/, 'float32'), `${accuracy} %`, own, told];
  });
  const table = [
    ['weights, pages', 'answers exactly right', 'perplexity of answers', 'of stories'],
    ['---', '---', '---', '---'],
    ...lines,
  ];
  const text = table.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return `${before}${BEGIN}\n\n${text}\n\n${END}${after}`;
}
