// The metrics as they come, kept for all pages: one WebSocket for as long as the page is open, opened again when it breaks.
// While there is none, the server is asked how far it is.

import { useEffect, useState } from 'preact/hooks';
import { ApiError, ask, openSocket, readiness } from './api';
import type { Readiness } from './api';
import { History, parseMetrics, Snapshot } from './metrics';

const RETRY_MS = 1000;
const RETRY_MAX_MS = 10_000;

export type Link =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'starting'; readiness: Readiness }
  | { state: 'unreachable' }
  | { state: 'refused'; message: string };

export const history = new History();
let link: Link = { state: 'connecting' };
let socket: WebSocket | undefined;
let timer: number | undefined;
let tries = 0;
let generation = 0; // counts starts and stops: what belongs to an earlier one is forgotten
const watchers = new Set<() => void>();

function tell(next?: Link): void {
  if (next) link = next;
  for (const watcher of watchers) watcher();
}

function retry(): void {
  const delay = Math.min(RETRY_MS * 2 ** tries, RETRY_MAX_MS);
  tries += 1;
  timer = window.setTimeout(() => void connect(), delay);
}

// What keeps a WebSocket from opening a browser does not tell a page: it is asked for first.
async function obstacle(): Promise<Link | undefined> {
  try {
    const ready = await readiness();
    if (!ready.ready) return { state: 'starting', readiness: ready };
    await ask('/metrics', { method: 'HEAD', accept: 'text/plain' });
    return undefined;
  } catch (failed) {
    if (failed instanceof ApiError && (failed.status === 401 || failed.status === 403))
      return { state: 'refused', message: 'This user may not read admin:metrics, which the overview shows.' };
    return { state: 'unreachable' };
  }
}

async function connect(): Promise<void> {
  timer = undefined;
  const mine = generation;
  const stopped = await obstacle();
  if (mine !== generation) return;
  if (stopped) {
    if (stopped.state === 'starting') tries = 0;
    tell(stopped);
    if (stopped.state !== 'refused') retry();
    return;
  }
  const opened = openSocket('/api/v1/metrics/live');
  socket = opened;
  opened.onmessage = (event: MessageEvent<string>) => {
    if (socket !== opened) return;
    const message = JSON.parse(event.data) as { time_ms: number; metrics: string };
    tries = 0;
    history.add(new Snapshot(message.time_ms, parseMetrics(message.metrics)));
    tell({ state: 'live' });
  };
  opened.onclose = () => {
    if (socket !== opened) return;
    socket = undefined;
    history.interrupt();
    if (link.state === 'live') tell({ state: 'connecting' });
    retry();
  };
}

export function start(): void {
  stop();
  tries = 0;
  tell({ state: 'connecting' });
  void connect();
}

export function stop(): void {
  generation += 1;
  window.clearTimeout(timer);
  const open = socket;
  socket = undefined;
  open?.close();
  history.forget();
}

export function useLive(): Link {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watcher = () => redraw((n) => n + 1);
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
    };
  }, []);
  return link;
}
