// The metrics as the page keeps them: what each message says, and for the charts the last ten minutes of a few rates, a number a
// second in arrays of a fixed length. Bounded whatever the server sends and however long the page is open.

const HISTORY = 600;

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

// The Prometheus text format 0.0.4, as far as this server writes it.
export function parseMetrics(text: string): Map<string, Sample[]> {
  const families = new Map<string, Sample[]>();
  for (const line of text.split('\n')) {
    if (!line || line.startsWith('#')) continue;
    const space = line.lastIndexOf(' ');
    const brace = line.indexOf('{');
    const name = line.slice(0, brace < 0 ? space : brace);
    const labels: Record<string, string> = {};
    if (brace >= 0)
      for (const [, key = '', value = ''] of line.slice(brace, space).matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
        labels[key] = value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    const sample = { labels, value: Number(line.slice(space + 1).replace('Inf', 'Infinity')) };
    const family = families.get(name);
    if (family) family.push(sample);
    else families.set(name, [sample]);
  }
  return families;
}

export class Snapshot {
  constructor(
    readonly timeMs: number,
    readonly families: Map<string, Sample[]>,
  ) {}

  // The sum over all labels, or those that match; NaN when there is no such metric.
  value(name: string, labels: Record<string, string> = {}): number {
    const samples = this.families.get(name);
    if (!samples) return NaN;
    let sum = 0;
    for (const sample of samples)
      if (Object.entries(labels).every(([key, wanted]) => sample.labels[key] === wanted)) sum += sample.value;
    return sum;
  }

  samples(name: string): Sample[] {
    return this.families.get(name) ?? [];
  }
}

// A quantile of what a histogram counted between two snapshots, within a bucket by a straight line, as Prometheus does it.
export function quantile(name: string, q: number, now: Snapshot, before: Snapshot | undefined): number {
  const earlier = new Map(before?.samples(`${name}_bucket`).map((s) => [s.labels['le'], s.value]));
  const buckets = now.samples(`${name}_bucket`).map((s) => ({
    bound: Number((s.labels['le'] ?? '').replace('+Inf', 'Infinity')),
    total: s.value - (earlier.get(s.labels['le']) ?? 0),
  }));
  const total = buckets.at(-1)?.total ?? 0;
  if (total <= 0) return NaN;
  let lower = 0;
  let below = 0;
  for (const { bound, total: upto } of buckets) {
    if (upto >= q * total) {
      if (!Number.isFinite(bound)) return lower;
      return lower + ((bound - lower) * (q * total - below)) / Math.max(upto - below, 1);
    }
    lower = bound;
    below = upto;
  }
  return lower;
}

export interface Rate {
  id: string;
  label: string;
  unit: string;
  of: (snapshot: Snapshot) => number; // a counter; NaN: this server has no such thing
}

export const PROTOCOLS: Rate[] = [
  { id: 'kafka', label: 'Kafka', unit: 'requests', of: (s) => s.value('heptane_kafka_requests_total') },
  { id: 'mqtt_in', label: 'MQTT in', unit: 'messages', of: (s) => s.value('heptane_mqtt_received_total') },
  { id: 'mqtt_out', label: 'MQTT out', unit: 'messages', of: (s) => s.value('heptane_mqtt_sent_total') },
  { id: 'fix', label: 'FIX', unit: 'messages', of: (s) => s.value('heptane_fix_messages_total') },
  { id: 'http', label: 'HTTP', unit: 'responses', of: (s) => s.value('heptane_http_responses_total', { listener: 'admin' }) },
  { id: 'series', label: 'Line protocol', unit: 'responses', of: (s) => s.value('heptane_http_responses_total', { listener: 'series' }) },
];

export const LOG_RATES: Rate[] = [
  { id: 'commands', label: 'Commands', unit: 'commands', of: (s) => s.value('heptane_commands_total') },
  { id: 'log_bytes', label: 'Log', unit: 'bytes', of: (s) => s.value('heptane_log_bytes_total') },
];

const SYNC = 'heptane_commit_duration_seconds';
const SYNC_SPAN = 10; // seconds of commits that a quantile is taken over

export class History {
  readonly times: number[] = []; // seconds
  readonly series = new Map<string, number[]>();
  latest: Snapshot | undefined;
  private previous: Snapshot | undefined; // the one before, unless there is a gap
  private recent: Snapshot[] = []; // no more than SYNC_SPAN of them

  // A restarted server's counters begin at 0 again: there is no rate across that.
  add(snapshot: Snapshot): void {
    const previous = this.previous;
    const span = previous ? (snapshot.timeMs - previous.timeMs) / 1000 : NaN;
    if (span <= 0) return;
    this.push(this.times, snapshot.timeMs / 1000);
    for (const rate of [...PROTOCOLS, ...LOG_RATES]) {
      const made = previous ? rate.of(snapshot) - rate.of(previous) : NaN;
      this.push(this.of(rate.id), made >= 0 ? made / span : NaN);
    }
    this.recent.push(snapshot);
    if (this.recent.length > SYNC_SPAN + 1) this.recent.shift();
    const before = this.recent[0] === snapshot ? undefined : this.recent[0];
    this.push(this.of('sync_p50'), quantile(SYNC, 0.5, snapshot, before));
    this.push(this.of('sync_p99'), quantile(SYNC, 0.99, snapshot, before));
    this.latest = snapshot;
    this.previous = snapshot;
  }

  // There is a gap: nothing is computed across it.
  interrupt(): void {
    this.previous = undefined;
    this.recent = [];
  }

  // For who comes next: what one user may see another may not.
  forget(): void {
    this.times.length = 0;
    this.series.clear();
    this.latest = undefined;
    this.interrupt();
  }

  of(id: string): number[] {
    const values = this.series.get(id) ?? [];
    this.series.set(id, values);
    return values;
  }

  last(id: string): number {
    return this.series.get(id)?.at(-1) ?? NaN;
  }

  private push(values: number[], value: number): void {
    values.push(value);
    if (values.length > HISTORY) values.shift();
  }
}

export interface Finding {
  severity: 'page' | 'ticket';
  what: string;
  consequence: string;
  command: string;
}

interface Check extends Omit<Finding, 'what'> {
  bad: (now: Snapshot) => boolean;
  what: string;
}

// In the words of docs/prometheus: each names the command to begin with.
const CHECKS: Check[] = [
  {
    bad: (now) => now.value('heptane_disk_full') === 1,
    severity: 'page',
    what: 'The disk is full',
    consequence: 'New records are refused, reads go on; deleting or trimming streams frees space.',
    command: 'heptane stream ls',
  },
  {
    bad: (now) => now.value('heptane_ledger_recount_differences') > 0,
    severity: 'page',
    what: 'Balances are not what their transfers say',
    consequence: 'Stop settling and keep the data directory.',
    command: 'heptane ledger verify',
  },
  {
    bad: (now) => now.value('heptane_snapshot_comparisons_total', { result: 'different' }) > 0,
    severity: 'page',
    what: 'Replay does not make what the newest snapshot holds',
    consequence: 'The state or the log is damaged, or the program computes otherwise than it did.',
    command: 'heptane log compare --data DATA',
  },
  {
    bad: (now) => now.value('heptane_listener_insecure') > 0,
    severity: 'page',
    what: 'A listener is reachable without authentication and TLS',
    consequence: 'Whoever reaches it may do anything.',
    command: 'heptane check-config FILE',
  },
  {
    bad: (now) => now.value('heptane_clock_alarm') === 1,
    severity: 'ticket',
    what: "The clock is more than an hour away from the log's time",
    consequence: "Time-outs, expiry and retention run by the log's time, which never goes back.",
    command: 'heptane log dump --data DATA',
  },
  {
    bad: (now) => now.value('heptane_rules_paused') > 0,
    severity: 'ticket',
    what: 'Rules are paused',
    consequence: 'What they read waits, until its retention takes it.',
    command: 'heptane rules list',
  },
  {
    bad: (now) => now.value('process_open_fds') > 0.85 * now.value('process_max_fds'),
    severity: 'ticket',
    what: 'Nearly all files are open that may be',
    consequence: 'Connections will be refused; raise the limit of open files and start again.',
    command: 'heptane mqtt clients',
  },
  {
    bad: (now) => now.value('heptane_upgrades_available') > 0,
    severity: 'ticket',
    what: 'A newer logic can be activated',
    consequence: 'Until then the log goes on as it was. There is no way back.',
    command: 'heptane upgrade status',
  },
];

export const CHECKED = CHECKS.length;

export function findings(now: Snapshot): Finding[] {
  return CHECKS.filter((check) => check.bad(now));
}
