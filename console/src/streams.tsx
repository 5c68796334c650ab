import { useEffect, useState } from 'preact/hooks';
import { ApiError, askJson } from './api';
import type { Stream } from './api';
import * as format from './format';
import { Records } from './records';
import { href } from './route';
import type { Place } from './route';

const PAGE = 1000; // streams of one answer
const LOADED_MAX = 20_000; // beyond it the filter asks for more than a list can show
const SHOWN = 200;

interface StreamsPage {
  streams: Stream[];
  next?: string;
}

export function recordsOf(stream: Stream): number {
  return stream.partitions.reduce((sum, partition) => sum + partition.end_offset - partition.first_offset, 0);
}

// Page after page, until there are no more or the list is as long as it may become.
async function loadStreams(signal: AbortSignal): Promise<{ streams: Stream[]; whole: boolean }> {
  const streams: Stream[] = [];
  for (let after: string | undefined; ; ) {
    const query = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    const page = await askJson<StreamsPage>(`/api/v1/streams?limit=${PAGE}${query}`, signal);
    streams.push(...page.streams);
    after = page.next;
    if (after === undefined) return { streams, whole: true };
    if (streams.length >= LOADED_MAX) return { streams, whole: false };
  }
}

function useStreams() {
  const [streams, setStreams] = useState<Stream[]>();
  const [whole, setWhole] = useState(true);
  const [problem, setProblem] = useState('');
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const control = new AbortController();
    loadStreams(control.signal).then(
      (loaded) => {
        setStreams(loaded.streams);
        setWhole(loaded.whole);
        setProblem('');
      },
      (failed: unknown) => {
        if (!control.signal.aborted) setProblem(failed instanceof ApiError ? failed.message : String(failed));
      },
    );
    return () => control.abort();
  }, [asked]);
  return { streams, whole, problem, reload: () => setAsked((n) => n + 1) };
}

function StreamList({ streams, chosen }: { streams: Stream[]; chosen: string | undefined }) {
  const [filter, setFilter] = useState('');
  const [shown, setShown] = useState(SHOWN);
  const wanted = filter.trim().toLowerCase();
  const found = wanted ? streams.filter((stream) => stream.name.toLowerCase().includes(wanted)) : streams;
  return (
    <>
      <input
        type="search"
        data-filter
        placeholder={`Filter ${format.count(streams.length)} streams   /`}
        aria-label="Filter streams by name"
        value={filter}
        onInput={(event) => {
          setFilter(event.currentTarget.value);
          setShown(SHOWN);
        }}
      />
      <ul class="stream-list">
        {found.slice(0, shown).map((stream) => (
          <li key={stream.name}>
            <a href={href(['streams', stream.name])} aria-current={stream.name === chosen ? 'true' : undefined} data-stream={stream.name}>
              <span class="stream-name">{stream.name}</span>
              <span class="muted number">{format.count(recordsOf(stream))}</span>
            </a>
          </li>
        ))}
      </ul>
      {found.length > shown && (
        <button class="quiet" onClick={() => setShown(shown + SHOWN)}>
          Show {format.count(Math.min(SHOWN, found.length - shown))} more of {format.count(found.length - shown)}
        </button>
      )}
      {found.length === 0 && <p class="muted">{wanted ? 'No stream has that in its name.' : 'There are no streams yet.'}</p>}
    </>
  );
}

export function Streams({ place }: { place: Place }) {
  const { streams, whole, problem, reload } = useStreams();
  const chosen = place.parts[1];
  const stream = streams?.find((each) => each.name === chosen);
  return (
    <main class="split">
      <aside class="panel">
        <div class="panel-head">
          <h2>Streams</h2>
          <button class="quiet" onClick={reload}>
            Refresh
          </button>
        </div>
        {problem && <p class="problem">{problem}</p>}
        {streams && <StreamList streams={streams} chosen={chosen} />}
        {!whole && <p class="muted">These are the first {format.count(LOADED_MAX)}; open others by their address.</p>}
      </aside>
      <section class="panel wide">
        {!chosen && <p class="notice muted">Choose a stream to look at its records.</p>}
        {chosen && streams && !stream && whole && <p class="notice">There is no stream {chosen}, or you may not see it.</p>}
        {chosen && (stream || !whole) && <Records key={chosen} name={chosen} stream={stream} query={place.query} />}
      </section>
    </main>
  );
}
