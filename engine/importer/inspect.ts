import { stateSize } from '../recurrent/recurrence.js';
import type { AttentionSite, ImportedModel, RecurrentSite } from './imported-model.js';

/** What the importer found and did, as `octavo inspect` prints it. */
export function formatReport(model: ImportedModel): string {
  const { report, sites, recurrent, vocabSize, maxStepTokens } = model;
  const opsets = Object.entries(report.opsets).map(([domain, version]) => `${domain} ${version}`);
  const weights = Object.entries(report.weights).map(([type, size]) => `${type} ${bytes(size)}`);
  return [
    table([
      ['file', report.file],
      ['chosen', report.variant],
      ...(report.architecture === null
        ? [
            ['exporter', report.exporter],
            ['producer', report.producer || 'not stated'],
          ]
        : [['architecture', report.architecture]]),
      ['opsets', opsets.join(', ')],
      ['nodes', String(report.nodes)],
      ['weights', `${bytes(report.weightBytes)} (${weights.join(', ')})`],
      ['vocabulary', String(vocabSize)],
      ['tokens in a step', maxStepTokens === null ? 'any number' : `at most ${maxStepTokens}`],
    ]),
    '',
    `${sites.length} attention sites`,
    table([
      ['layer', 'form', 'heads', 'kv heads', 'head size', 'scale', 'extras', 'node'],
      ...sites.map(siteRow),
    ]),
    '',
    ...(recurrent.length > 0 ? statesOf(recurrent) : []),
    `${report.segments.length} segments`,
    table([
      ['segment', 'nodes', 'weights', 'inputs', 'outputs'],
      ...report.segments.map((segment, index) => [
        String(index),
        String(segment.nodes),
        bytes(segment.weightBytes),
        String(model.segments[index].inputs.length),
        String(model.segments[index].outputs.length),
      ]),
    ]),
    '',
    'rewritten',
    ...report.rewrites.map((rewrite) => `  ${rewrite}`),
  ].join('\n');
}

function siteRow(site: AttentionSite): string[] {
  const extras = [
    site.slidingWindow > 0 ? `window ${site.slidingWindow}` : '',
    site.softcap > 0 ? `softcap ${site.softcap}` : '',
    site.sinks ? 'sinks' : '',
    site.pagesOf === undefined ? '' : `keys of layer ${site.pagesOf}`,
    site.alibiSlopes ? 'ALiBi' : '',
    site.rotary ? `rotary ${site.rotary.dim}${site.rotary.interleaved ? ' interleaved' : ''}` : '',
  ].filter((extra) => extra !== '');
  return [
    String(site.layer),
    site.form,
    String(site.numHeads),
    String(site.numKvHeads),
    String(site.headSize),
    site.scale.toPrecision(4),
    extras.join(', ') || '-',
    site.node,
  ];
}

/** What is kept of each sequence besides keys and values. */
function statesOf(recurrent: readonly RecurrentSite[]): string[] {
  const sizes = recurrent.map(({ recurrence }) => 4 * stateSize(recurrence));
  const total = sizes.reduce((a, b) => a + b, 0);
  return [
    `${recurrent.length} states, ${bytes(total)} for each sequence and checkpoint`,
    table([
      ['state', 'form', 'kind', 'memory', 'node'],
      ...recurrent.map(({ layer, form, recurrence, node }, i) => [
        String(layer),
        form,
        recurrence.kind === 'convolution'
          ? `${recurrence.channels} channels, ${recurrence.taps} tokens`
          : `${recurrence.rule}, ${recurrence.numHeads} x ${recurrence.keySize} x ${recurrence.valueSize}`,
        bytes(sizes[i]),
        node,
      ]),
    ]),
    '',
  ];
}

/** Columns aligned by their widest entry. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      `  ${row.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`.trimEnd(),
    )
    .join('\n');
}

function bytes(size: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = size;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
