// Why something is as it is: the command at a position, what caused it, back to the message from outside, and the records it made.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, askJson } from './api';
import type { Explanation, Stream } from './api';
import { go, href } from './route';
import type { Place } from './route';

const CAUSES_MAX = 32; // steps back
const RETRY_MS = 1000; // when another position is being explained
const TRIES_MAX = 30;
const PROMINENT = new Set(['origin', 'principal', 'trace_id', 'cause', 'blob']);

type Names = Map<number, { stream: string; partition: number }>;

export function factOf(found: Explanation, name: string): string | undefined {
  return found.facts.find((fact) => fact.name === name)?.value;
}

// The server explains one position at a time, for all who ask.
async function explanationOf(position: string, signal: AbortSignal): Promise<Explanation> {
  for (let tries = 1; ; ++tries) {
    try {
      return await askJson<Explanation>(`/api/v1/explain/${encodeURIComponent(position)}`, signal);
    } catch (failed) {
      const busy = failed instanceof ApiError && failed.status === 503 && failed.code === 'overloaded';
      if (!busy || tries === TRIES_MAX) throw failed;
    }
    await new Promise((resolve) => window.setTimeout(resolve, RETRY_MS));
    signal.throwIfAborted();
  }
}

// `0:17/3` is an event of the command at `0:17`.
function commandOf(position: string): string {
  return position.split('/')[0] ?? position;
}

// From the outside message on; the last is what was asked for.
async function loadChain(position: string, signal: AbortSignal): Promise<{ chain: Explanation[]; whole: boolean }> {
  const chain: Explanation[] = [];
  const seen = new Set<string>();
  for (let at: string | undefined = commandOf(position); at !== undefined && !seen.has(at); ) {
    if (chain.length === CAUSES_MAX) return { chain, whole: false };
    seen.add(at);
    const found: Explanation = await explanationOf(at, signal);
    chain.unshift(found);
    const cause = factOf(found, 'cause');
    at = cause === undefined ? undefined : commandOf(cause);
  }
  return { chain, whole: true };
}

async function loadNames(signal: AbortSignal): Promise<Names> {
  const { streams } = await askJson<{ streams: Stream[] }>('/api/v1/streams?limit=10000', signal);
  const names: Names = new Map();
  for (const stream of streams)
    stream.partitions.forEach((partition, index) => names.set(partition.id, { stream: stream.name, partition: index }));
  return names;
}

function Facts({ found }: { found: Explanation }) {
  const prominent = found.facts.filter((fact) => PROMINENT.has(fact.name));
  const others = found.facts.filter((fact) => !PROMINENT.has(fact.name));
  const list = (facts: Explanation['facts']) => (
    <dl class="facts">
      {facts.map((fact, index) => (
        <div key={index}>
          <dt>{fact.name.replaceAll('_', ' ')}</dt>
          <dd class="mono">{fact.name === 'cause' ? <a href={href(['explain', commandOf(fact.value)])}>{fact.value}</a> : fact.value}</dd>
        </div>
      ))}
    </dl>
  );
  return (
    <>
      {prominent.length > 0 && list(prominent)}
      <details>
        <summary>Details</summary>
        {list(others)}
      </details>
    </>
  );
}

interface NodeProps {
  found: Explanation;
  names: Names;
  asked: boolean; // what the page is about
  place: Place;
  children?: ComponentChildren;
}

function Node({ found, names, asked, place, children }: NodeProps) {
  const here = (id: number, offset: number) => {
    const name = names.get(id);
    return name?.stream === place.query.get('stream') && offset === Number(place.query.get('offset') ?? -1);
  };
  return (
    <li class="node" data-position={found.position} data-asked={asked}>
      <div class="node-head">
        <a class="mono" href={href(['explain', found.position])}>
          {found.position}
        </a>
        <strong>{found.what}</strong>
        <span class="mono muted">{found.time}</span>
      </div>
      <Facts found={found} />
      <ul class="tree">
        {found.records.map((record) => {
          const name = names.get(record.partition_id);
          const text = name ? `${name.stream}/${name.partition}` : `partition id ${record.partition_id}`;
          return (
            <li key={`${record.partition_id}:${record.offset}`} class="leaf" data-here={here(record.partition_id, record.offset)}>
              {name ? (
                <a class="mono" href={href(['streams', name.stream], { partition: name.partition, offset: record.offset })}>
                  {text} {record.offset}
                </a>
              ) : (
                <span class="mono">
                  {text} {record.offset}
                </span>
              )}
              <span class="mono cut">{record.text}</span>
            </li>
          );
        })}
        {found.records_left_out > 0 && <li class="leaf muted">and {found.records_left_out} more</li>}
        {found.records.length === 0 && <li class="leaf muted">it made no records</li>}
        {children}
      </ul>
    </li>
  );
}

function Tree({ chain, names, place }: { chain: Explanation[]; names: Names; place: Place }) {
  const [first, ...rest] = chain;
  if (!first) return null;
  return (
    <Node found={first} names={names} asked={rest.length === 0} place={place}>
      {rest.length > 0 && <Tree chain={rest} names={names} place={place} />}
    </Node>
  );
}

export function Explain({ place }: { place: Place }) {
  const position = place.parts[1];
  const input = useRef<HTMLInputElement>(null);
  const [chain, setChain] = useState<Explanation[]>();
  const [names, setNames] = useState<Names>(new Map());
  const [note, setNote] = useState('');
  useEffect(() => {
    setChain(undefined);
    setNote('');
    if (!position) return undefined;
    const control = new AbortController();
    loadNames(control.signal).then(setNames, () => undefined);
    loadChain(position, control.signal).then(
      (loaded) => {
        setChain(loaded.chain);
        if (!loaded.whole) setNote(`Only the last ${CAUSES_MAX} causes are shown.`);
      },
      (failed: unknown) => {
        if (!control.signal.aborted) setNote(failed instanceof ApiError ? failed.message : String(failed));
      },
    );
    return () => control.abort();
  }, [position]);
  const submit = (event: Event) => {
    event.preventDefault();
    if (input.current?.value.trim()) go(['explain', input.current.value.trim()]);
  };
  return (
    <main>
      <section class="panel">
        <div class="panel-head">
          <h2>Explain</h2>
          <form onSubmit={submit}>
            <input ref={input} data-filter class="mono" placeholder="0:123" aria-label="Position" value={position ?? ''} spellcheck={false} />
            <button>Explain</button>
          </form>
        </div>
        {!position && (
          <p class="notice muted">
            A position is a command's place in the log, such as 0:123. Every record has one: open a record of a stream and follow its
            cause.
          </p>
        )}
        {note && (
          <p class="problem" role="alert">
            {note}
          </p>
        )}
        {chain && (
          <ul class="tree root">
            <Tree chain={chain} names={names} place={place} />
          </ul>
        )}
      </section>
    </main>
  );
}
