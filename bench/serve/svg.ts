/** A line through points (x, y). */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
}

export interface Panel {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xScale: 'linear' | 'log';
  readonly curves: readonly Curve[];
}

const WIDTH = 440;
const HEIGHT = 280;
const MARGIN = { left: 56, right: 16, top: 34, bottom: 42 };
const COLORS = ['#1f6feb', '#d1570a', '#1a7f37', '#8250df', '#57606a'];

/** Two panels in a row, each with axes, grid and legend. */
export function renderPanels(title: string, panels: readonly Panel[]): string {
  const rows = Math.ceil(panels.length / 2);
  const top = 30;
  const size = `${2 * WIDTH} ${rows * HEIGHT + top}`;
  const body = panels.map((panel, i) => {
    const place = `translate(${(i % 2) * WIDTH} ${Math.floor(i / 2) * HEIGHT + top})`;
    return `<g transform="${place}">${renderPanel(panel)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" font-family="sans-serif" font-size="11" fill="#24292f">`,
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(WIDTH, 20, title, 'middle', 'font-size="14" font-weight="bold"'),
    ...body,
    '</svg>\n',
  ].join('\n');
}

function renderPanel({ title, xLabel, yLabel, xScale, curves }: Panel): string {
  const points = curves.flatMap((curve) => curve.points);
  const heading = text(WIDTH / 2, 16, title, 'middle', 'font-weight="bold"');
  if (points.length === 0) return heading + text(WIDTH / 2, HEIGHT / 2, 'no data', 'middle');
  const xs = points.map(([x]) => x);
  const xTicks = xScale === 'log' ? logTicks(xs) : linearTicks(xs);
  const yTicks = linearTicks(points.map(([, y]) => y));
  const x = scale(xTicks, xScale, MARGIN.left, WIDTH - MARGIN.right);
  const y = scale(yTicks, 'linear', HEIGHT - MARGIN.bottom, MARGIN.top);
  const [bottom, right] = [HEIGHT - MARGIN.bottom, WIDTH - MARGIN.right];
  return [
    heading,
    ...yTicks.map((tick) => line(MARGIN.left, y(tick), right, y(tick))),
    ...yTicks.map((tick) => text(MARGIN.left - 6, y(tick) + 4, label(tick), 'end')),
    ...xTicks.map((tick) => line(x(tick), MARGIN.top, x(tick), bottom)),
    ...xTicks.map((tick) => text(x(tick), bottom + 14, label(tick), 'middle')),
    text((MARGIN.left + right) / 2, HEIGHT - 8, xLabel, 'middle'),
    `<g transform="translate(13 ${(MARGIN.top + bottom) / 2}) rotate(-90)">${text(0, 0, yLabel, 'middle')}</g>`,
    ...curves.map((curve, i) => polyline(curve, x, y, COLORS[i % COLORS.length])),
    ...curves.map((curve, i) =>
      text(
        right - 4,
        MARGIN.top - 6 - 12 * (curves.length - 1 - i),
        curve.name,
        'end',
        `fill="${COLORS[i % COLORS.length]}"`,
      ),
    ),
  ].join('\n');
}

/** Round numbers from 0 to the largest value, five or so. */
export function linearTicks(values: readonly number[]): number[] {
  const largest = Math.max(...values);
  if (largest <= 0) return [0, 1];
  const raw = largest / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((s) => s >= raw) ?? raw;
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_, i) =>
    Number((i * step).toPrecision(6)),
  );
}

/** 1, 2, 5, 10, ... around all values; powers of ten only when there would be many. */
export function logTicks(values: readonly number[]): number[] {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.ceil(Math.log10(Math.max(...values)) + 1e-9);
  const digits = high - low > 2 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = low; power < high; power++) {
    ticks.push(...digits.map((digit) => Number((digit * 10 ** power).toPrecision(6))));
  }
  return [...ticks, Number((10 ** high).toPrecision(6))];
}

function scale(
  ticks: readonly number[],
  kind: 'linear' | 'log',
  from: number,
  to: number,
): (value: number) => number {
  const of = (value: number): number => (kind === 'log' ? Math.log10(value) : value);
  const low = of(ticks[0]);
  const high = of(ticks.at(-1) ?? 1);
  return (value) => Number((from + ((of(value) - low) / (high - low)) * (to - from)).toFixed(2));
}

function polyline(
  { points }: Curve,
  x: (value: number) => number,
  y: (value: number) => number,
  color: string,
): string {
  const path = points.map(([px, py]) => `${x(px)},${y(py)}`).join(' ');
  return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.6"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#d8dee4"/>`;
}

function text(x: number, y: number, content: string, anchor: string, more = ''): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" ${more}>${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function label(value: number): string {
  return value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(value);
}
