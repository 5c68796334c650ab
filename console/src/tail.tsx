// New records as they are synced. The page keeps the last of them and draws once a frame at most, however many come; while it is
// paused there is no connection, and it goes on behind the last record that came.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, ask, openSocket, recordOf, streamPath } from './api';
import type { StoredRecord } from './api';
import * as format from './format';
import { RecordTable } from './records';

const KEPT = 300;
const RETRY_MS = 2000;

type State = 'opening' | 'live' | 'paused' | 'ended';

// A close that another try would only repeat.
const FINAL: Record<number, string> = {
  4403: 'You lost the right to read this stream.',
  4404: 'The stream was deleted.',
  4410: 'The records to come next are no longer kept.',
};

interface View {
  state: State;
  why: string;
  records: StoredRecord[];
  total: number;
}

class TailLink {
  private socket: WebSocket | undefined;
  private timer: number | undefined;
  private frame: number | undefined;
  private kept: StoredRecord[] = []; // the newest first
  private total = 0;
  private next: number | undefined; // to go on from after a pause or a break
  private opened = 0; // counts tries: what belongs to an earlier one is forgotten
  private state: State = 'opening';
  private why = '';

  constructor(
    private readonly stream: string, // its path
    private readonly partition: number,
    private readonly show: (view: View) => void,
  ) {}

  async open(): Promise<void> {
    const mine = ++this.opened;
    this.change('opening', this.why);
    const gone = await this.isGone();
    if (mine !== this.opened) return;
    if (gone) this.next = undefined;
    this.connect();
  }

  pause(): void {
    this.close();
    this.change('paused');
  }

  // What came meanwhile is to be browsed.
  newest(): void {
    this.close();
    this.next = undefined;
    void this.open();
  }

  close(): void {
    this.opened += 1;
    window.clearTimeout(this.timer);
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
  }

  // A browser does not tell why a WebSocket was refused: whether the place is still kept is asked for.
  private async isGone(): Promise<boolean> {
    if (this.next === undefined) return false;
    try {
      await ask(`${this.stream}/records?partition=${this.partition}&limit=1&offset=${this.next}`);
      return false;
    } catch (failed) {
      return failed instanceof ApiError && failed.status === 400;
    }
  }

  private connect(): void {
    const from = this.next === undefined ? 'from=end' : `offset=${this.next}`;
    const socket = openSocket(`${this.stream}/tail?partition=${this.partition}&${from}`);
    this.socket = socket;
    socket.onopen = () => this.change('live');
    socket.onmessage = (event: MessageEvent<string>) => this.take(recordOf(event.data));
    socket.onclose = (event) => {
      if (this.socket === socket) this.closed(event.code);
    };
  }

  private closed(code: number): void {
    this.socket = undefined;
    const final = FINAL[code];
    if (final) return this.change('ended', final);
    this.change('opening', 'The connection broke. Trying again.');
    this.timer = window.setTimeout(() => void this.open(), RETRY_MS);
  }

  private take(record: StoredRecord): void {
    this.kept.unshift(record);
    if (this.kept.length > KEPT) this.kept.length = KEPT;
    this.total += 1;
    this.next = record.offset + 1;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.tell();
    });
  }

  private change(state: State, why = ''): void {
    this.state = state;
    this.why = why;
    this.tell();
  }

  private tell(): void {
    this.show({ state: this.state, why: this.why, records: this.kept.slice(), total: this.total });
  }
}

const WORDS: Record<State, string> = { opening: 'Opening', live: 'Live', paused: 'Paused', ended: 'Ended' };

export function Tail({ name, partition }: { name: string; partition: number }) {
  const [view, setView] = useState<View>({ state: 'opening', why: '', records: [], total: 0 });
  const link = useRef<TailLink>();
  useEffect(() => {
    const made = new TailLink(streamPath(name), partition, setView);
    link.current = made;
    void made.open();
    return () => made.close();
  }, [name, partition]);
  return (
    <>
      <div class="pager" data-tail-state={view.state}>
        <button onClick={() => (view.state === 'paused' ? void link.current?.open() : link.current?.pause())} disabled={view.state === 'ended'}>
          {view.state === 'paused' ? 'Go on' : 'Pause'}
        </button>
        <button onClick={() => link.current?.newest()} disabled={view.state === 'ended'}>
          Newest
        </button>
        <span class="status" data-state={view.state}>
          <span class="dot" />
          {WORDS[view.state]}
        </span>
        <span class="muted range">
          {format.count(view.total)} came, the last {KEPT} are shown. {view.why}
        </span>
      </div>
      {view.records.length === 0 ? (
        <p class="notice muted">Waiting for the next record.</p>
      ) : (
        <RecordTable records={view.records} name={name} partition={partition} />
      )}
    </>
  );
}
