// Numbers, sizes and times as text. One width for one kind, so that nothing jumps.

export function count(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '–';
}

export function rate(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (value >= 100 || value === 0) return value.toFixed(0);
  return value.toFixed(1);
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return '–';
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${UNITS[unit]}`;
}

export function seconds(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value < 1e-3) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(value < 0.01 ? 2 : 1)} ms`;
  return `${value.toFixed(2)} s`;
}

export function duration(totalSeconds: number): string {
  if (!Number.isFinite(totalSeconds)) return '–';
  const days = Math.floor(totalSeconds / 86_400);
  const hours = Math.floor((totalSeconds % 86_400) / 3600);
  const minutes = Math.floor((totalSeconds % 3600) / 60);
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${Math.floor(totalSeconds % 60)} s`;
  return `${Math.floor(totalSeconds)} s`;
}

// UTC, to the millisecond; records may have any number as their time.
export function time(ms: number, text = String(ms)): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${text} ms` : date.toISOString().replace('T', ' ').replace('Z', '');
}
