import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';

export interface Line {
  label: string;
  color: string; // name of a CSS variable
  values: number[];
}

interface ChartProps {
  title: string;
  times: number[]; // seconds
  lines: Line[];
  format: (value: number) => string;
}

const HEIGHT = 190;
const SPAN_S = 120; // at least; it grows with what there is
const AXIS_PX = 74;

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// UTC, as all times here are.
function clock(seconds: number, step: number): string {
  return new Date(seconds * 1000).toISOString().slice(11, step < 60 ? 19 : 16);
}

function options(props: ChartProps, width: number, hover: (index: number | null) => void): uPlot.Options {
  const stroke = () => css('--muted');
  const grid = { stroke: () => css('--line'), width: 1 };
  const ticks = { show: false };
  const font = '11px system-ui, sans-serif';
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false }, points: { size: 5 } },
    legend: { show: false },
    hooks: { setCursor: [(plot) => hover(plot.cursor.idx ?? null)] },
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - SPAN_S), max] },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      { stroke, grid, ticks, font, size: 28, space: 70, values: (_, splits, __, ___, step) => splits.map((at) => clock(at, step)) },
      { stroke, grid, ticks, font, size: AXIS_PX, values: (_, splits) => splits.map(props.format) },
    ],
    series: [
      {},
      ...props.lines.map((line) => ({
        label: line.label,
        stroke: () => css(line.color),
        width: 1.5,
        spanGaps: false,
        points: { show: false },
      })),
    ],
  };
}

// uPlot draws gaps where there is null.
function data(props: ChartProps): uPlot.AlignedData {
  return [props.times, ...props.lines.map((line) => line.values.map((v) => (Number.isFinite(v) ? v : null)))];
}

// What the lines are and what they say: where the pointer is, else now.
function Legend({ lines, format, index }: { lines: Line[]; format: ChartProps['format']; index: number | null }) {
  return (
    <ul class="legend">
      {lines.map((line) => (
        <li key={line.label}>
          <span class={`swatch swatch${line.color}`} />
          <span>{line.label}</span>
          <span class="number legend-value">{format((index === null ? line.values.at(-1) : line.values[index]) ?? NaN)}</span>
        </li>
      ))}
    </ul>
  );
}

export function Chart(props: ChartProps) {
  const [index, setIndex] = useState<number | null>(null);
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const labels = props.lines.map((line) => line.label).join('|');

  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const made = new uPlot(options(props, element.clientWidth, setIndex), data(props), element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const scheme = window.matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => made.redraw();
    scheme.addEventListener('change', redraw);
    return () => {
      resized.disconnect();
      scheme.removeEventListener('change', redraw);
      made.destroy();
    };
  }, [labels]);

  useEffect(() => {
    if (!document.hidden) plot.current?.setData(data(props));
  });

  return (
    <section class="panel chart">
      <h2>{props.title}</h2>
      <Legend lines={props.lines} format={props.format} index={index} />
      <div class="plot" ref={place} />
    </section>
  );
}
