import { hasToken } from './api';
import { Chart } from './chart';
import * as format from './format';
import { history, useLive } from './live';
import type { Link } from './live';
import { CHECKED, findings, PROTOCOLS } from './metrics';
import type { Snapshot } from './metrics';

const COLORS = ['--c1', '--c2', '--c3', '--c4', '--c5', '--c6'];

function Tile({ name, value, note }: { name: string; value: string; note: string }) {
  return (
    <div class="tile" data-tile={name}>
      <div class="tile-name">{name}</div>
      <div class="tile-value">{value}</div>
      <div class="tile-note muted">{note}</div>
    </div>
  );
}

function Tiles({ now }: { now: Snapshot }) {
  const watermark = now.value('heptane_watermark_sequence');
  const behind = now.value('heptane_last_sequence') - watermark;
  const started = now.value('process_start_time_seconds');
  return (
    <div class="tiles">
      <Tile name="Commands" value={`${format.rate(history.last('commands'))}/s`} note={`${format.count(now.value('heptane_commands_total'))} since the start`} />
      <Tile name="Sync p99" value={format.seconds(history.last('sync_p99'))} note={`p50 ${format.seconds(history.last('sync_p50'))}, of 10 s`} />
      <Tile name="Watermark" value={Number.isFinite(watermark) ? `0:${watermark}` : '–'} note={behind > 0 ? `${format.count(behind)} applied, not synced` : 'all is synced'} />
      <Tile name="Log" value={`${format.bytes(history.last('log_bytes'))}/s`} note={`${format.bytes(now.value('heptane_log_bytes_total'))} since the start`} />
      <Tile name="Connections" value={format.count(now.value('heptane_connections'))} note={`${format.count(now.value('heptane_unanswered_requests'))} requests unanswered`} />
      <Tile name="Memory" value={format.bytes(now.value('process_resident_memory_bytes'))} note={`up ${format.duration(now.timeMs / 1000 - started)}`} />
    </div>
  );
}

function Health({ now }: { now: Snapshot }) {
  const found = findings(now);
  if (found.length === 0)
    return (
      <section class="panel health" data-health="good">
        <h2>Health</h2>
        <p class="good">All {CHECKED} checks pass.</p>
      </section>
    );
  return (
    <section class="panel health" data-health="bad">
      <h2>Health</h2>
      <ul class="findings">
        {found.map((finding) => (
          <li key={finding.what} class={finding.severity}>
            <strong>{finding.what}.</strong> {finding.consequence} <code>{finding.command}</code>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Protocols({ now }: { now: Snapshot }) {
  return (
    <section class="panel">
      <h2>Protocols</h2>
      <table class="dense">
        <thead>
          <tr>
            <th>Protocol</th>
            <th class="number">Rate</th>
            <th class="number">Since the start</th>
            <th>Counted</th>
          </tr>
        </thead>
        <tbody>
          {PROTOCOLS.map((protocol) => (
            <tr key={protocol.id} data-protocol={protocol.id}>
              <td>{protocol.label}</td>
              <td class="number">{format.rate(history.last(protocol.id))}/s</td>
              <td class="number">{format.count(protocol.of(now))}</td>
              <td class="muted">{protocol.unit}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Memory({ now }: { now: Snapshot }) {
  const machines = now
    .samples('heptane_machine_memory_bytes')
    .map(({ labels, value }) => ({ name: labels['machine'] ?? '', value }))
    .sort((a, b) => b.value - a.value || a.name.localeCompare(b.name));
  const largest = Math.max(1, ...machines.map((machine) => machine.value));
  return (
    <section class="panel">
      <h2>Memory per machine</h2>
      <table class="dense">
        <thead>
          <tr>
            <th>Machine</th>
            <th class="number">State</th>
            <th class="bar-cell" aria-hidden="true" />
          </tr>
        </thead>
        <tbody>
          {machines.map((machine) => (
            <tr key={machine.name} data-machine={machine.name}>
              <td>{machine.name}</td>
              <td class="number">{format.bytes(machine.value)}</td>
              <td class="bar-cell" aria-hidden="true">
                <meter min={0} max={largest} value={machine.value} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Waiting({ link }: { link: Link }) {
  if (link.state === 'refused') return <p class="notice">{link.message}</p>;
  if (link.state === 'unreachable') return <p class="notice">The server cannot be reached. Trying again.</p>;
  if (link.state !== 'starting') return <p class="notice muted">Waiting for the first metrics.</p>;
  const { phase = '', done = 0, total = 0 } = link.readiness;
  return (
    <div class="notice">
      <p>
        The server is not ready yet: <strong>{phase}</strong>, {format.bytes(done)} of at most {format.bytes(total)}.
      </p>
      <progress max={Math.max(total, 1)} value={done} />
    </div>
  );
}

export function Overview() {
  const link = useLive();
  const now = history.latest;
  if (!now)
    return (
      <main>
        <Waiting link={link} />
      </main>
    );
  const version = now.samples('heptane_build_info')[0]?.labels['version'] ?? '';
  return (
    <main class="overview" data-stale={link.state !== 'live'}>
      <Tiles now={now} />
      <Health now={now} />
      <div class="charts">
        <Chart
          title="Rates per protocol"
          times={history.times}
          lines={PROTOCOLS.map((p, i) => ({ label: p.label, color: COLORS[i] ?? '--c1', values: history.of(p.id) }))}
          format={(value) => `${format.rate(value)}/s`}
        />
        <Chart
          title="Sync latency"
          times={history.times}
          lines={[
            { label: 'p99', color: '--c4', values: history.of('sync_p99') },
            { label: 'p50', color: '--c1', values: history.of('sync_p50') },
          ]}
          format={format.seconds}
        />
      </div>
      <div class="columns">
        <Protocols now={now} />
        <Memory now={now} />
      </div>
      <footer class="muted">
        Heptane {version}
        {!hasToken() && (
          <>
            . Every metric: <a href="/metrics">/metrics</a>. The API: <a href="/api/v1/openapi.json">openapi.json</a>.
          </>
        )}
      </footer>
    </main>
  );
}
