// The records of one partition: a page from an offset or a time on, or the newest as they come.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, askJson, askRecords, streamPath } from './api';
import type { RecordsPage, Stream, StoredRecord } from './api';
import * as format from './format';
import { indented } from './json';
import { go, href } from './route';
import { Tail } from './tail';

const PAGE = 50;

export function oneLine(record: StoredRecord, part: 'key' | 'value'): string {
  const base64 = part === 'key' ? record.key_base64 : record.value_base64;
  if (base64 !== undefined) return `base64 ${base64}`;
  return (part === 'key' ? record.key : record.value) ?? '';
}

function wholeValue(record: StoredRecord): string {
  if (record.value_base64 !== undefined) return record.value_base64;
  if (record.value === undefined || record.value === null) return '(no value)';
  return record.isJson ? indented(record.value) : record.value;
}

interface RowProps {
  record: StoredRecord;
  name: string;
  partition: number;
  open: boolean;
  onToggle: () => void;
}

// The command that made a record is asked for when somebody wants to know.
function Cause({ name, partition, offset }: { name: string; partition: number; offset: number }) {
  const [problem, setProblem] = useState('');
  const follow = async () => {
    try {
      const path = `${streamPath(name)}/records/${offset}/position?partition=${partition}`;
      const { position } = await askJson<{ position: string }>(path);
      go(['explain', position], { stream: name, partition, offset });
    } catch (failed) {
      setProblem(failed instanceof ApiError ? failed.message : String(failed));
    }
  };
  return (
    <span>
      <button data-follow onClick={() => void follow()}>
        Follow its cause
      </button>
      <span class="problem" role="alert">
        {problem}
      </span>
    </span>
  );
}

export function RecordRow({ record, name, partition, open, onToggle }: RowProps) {
  return (
    <>
      <tr data-offset={record.offset} class={open ? 'open' : undefined}>
        <td class="number">
          <button class="row-button mono" aria-expanded={open} onClick={onToggle}>
            {record.offset}
          </button>
        </td>
        <td class="mono muted nowrap">{format.time(record.timestamp, record.timestampText)}</td>
        <td class="mono cut key">{oneLine(record, 'key')}</td>
        <td class="mono cut">{oneLine(record, 'value')}</td>
      </tr>
      {open && (
        <tr class="detail">
          <td colSpan={4}>
            <div class="detail-head">
              <Cause name={name} partition={partition} offset={record.offset} />
              {record.value_base64 !== undefined && <span class="muted">base64</span>}
            </div>
            <pre>{wholeValue(record)}</pre>
            {record.headers && record.headers.length > 0 && (
              <dl class="facts">
                {record.headers.map((header, index) => (
                  <div key={index}>
                    <dt>{header.name}</dt>
                    <dd class="mono">{header.value ?? header.value_base64 ?? 'null'}</dd>
                  </div>
                ))}
              </dl>
            )}
          </td>
        </tr>
      )}
    </>
  );
}

export function RecordTable({ records, name, partition }: { records: StoredRecord[]; name: string; partition: number }) {
  const [open, setOpen] = useState<number>();
  return (
    <table class="records">
      <thead>
        <tr>
          <th class="number">Offset</th>
          <th>Time (UTC)</th>
          <th>Key</th>
          <th>Value</th>
        </tr>
      </thead>
      <tbody>
        {records.map((record) => (
          <RecordRow
            key={record.offset}
            record={record}
            name={name}
            partition={partition}
            open={open === record.offset}
            onToggle={() => setOpen(open === record.offset ? undefined : record.offset)}
          />
        ))}
      </tbody>
    </table>
  );
}

type Where = { offset: number } | { time: number } | { newest: true } | { oldest: true };

function whereOf(query: URLSearchParams): Where {
  if (query.has('offset')) return { offset: Number(query.get('offset')) || 0 };
  if (query.has('time')) return { time: Number(query.get('time')) || 0 };
  return query.has('oldest') ? { oldest: true } : { newest: true };
}

// The newest page begins where the end is now: a page of one record says where that is.
async function loadPage(name: string, partition: number, where: Where, signal: AbortSignal): Promise<RecordsPage> {
  const base = `${streamPath(name)}/records?partition=${partition}`;
  if ('offset' in where) return askRecords(`${base}&limit=${PAGE}&offset=${where.offset}`, signal);
  if ('time' in where) return askRecords(`${base}&limit=${PAGE}&time=${where.time}`, signal);
  if ('oldest' in where) return askRecords(`${base}&limit=${PAGE}`, signal);
  const first = await askRecords(`${base}&limit=1`, signal);
  return askRecords(`${base}&limit=${PAGE}&offset=${Math.max(first.first_offset, first.end_offset - PAGE)}`, signal);
}

interface BrowserProps {
  name: string;
  partition: number;
  query: URLSearchParams;
}

function Browser({ name, partition, query }: BrowserProps) {
  const [page, setPage] = useState<RecordsPage>();
  const [problem, setProblem] = useState('');
  const [asked, setAsked] = useState(0);
  const address = query.toString();
  useEffect(() => {
    const control = new AbortController();
    loadPage(name, partition, whereOf(query), control.signal).then(
      (loaded) => {
        setPage(loaded);
        setProblem('');
      },
      (failed: unknown) => {
        if (!control.signal.aborted) setProblem(failed instanceof ApiError ? failed.message : String(failed));
      },
    );
    return () => control.abort();
  }, [name, partition, address, asked]);
  const first = page?.records[0]?.offset ?? page?.first_offset ?? 0;
  const to = (where: Record<string, string | number>) => href(['streams', name], { partition, ...where });
  const older = Math.max(page?.first_offset ?? 0, first - PAGE);
  return (
    <>
      <div class="pager">
        <a class="button" href={to({ oldest: 1 })}>
          Oldest
        </a>
        <a class="button" href={to({ offset: older })} aria-disabled={!page || first <= page.first_offset}>
          Older
        </a>
        <a class="button" href={to({ offset: page?.next_offset ?? 0 })} aria-disabled={!page || page.next_offset >= page.end_offset}>
          Newer
        </a>
        <a
          class="button"
          href={to({})}
          onClick={() => {
            setAsked(asked + 1);
          }}
        >
          Newest
        </a>
        <span class="muted range">{page && `${format.count(page.first_offset)} to ${format.count(page.end_offset)} are kept`}</span>
      </div>
      {problem && <p class="problem">{problem}</p>}
      {page && page.records.length === 0 && !problem && <p class="notice muted">There is no record from here on.</p>}
      {page && page.records.length > 0 && <RecordTable key={address + asked} records={page.records} name={name} partition={partition} />}
    </>
  );
}

function Seek({ name, partition }: { name: string; partition: number }) {
  const offset = useRef<HTMLInputElement>(null);
  const when = useRef<HTMLInputElement>(null);
  const seekOffset = (event: Event) => {
    event.preventDefault();
    if (offset.current?.value) go(['streams', name], { partition, offset: offset.current.value });
  };
  // The field is taken as UTC, as all times here are.
  const seekTime = (event: Event) => {
    event.preventDefault();
    const ms = Date.parse(`${when.current?.value ?? ''}Z`);
    if (!Number.isNaN(ms)) go(['streams', name], { partition, time: ms });
  };
  return (
    <>
      <form onSubmit={seekOffset}>
        <label>
          Offset <input ref={offset} type="number" min={0} step={1} class="offset" aria-label="Go to offset" />
        </label>
      </form>
      <form onSubmit={seekTime}>
        <label>
          Time (UTC) <input ref={when} type="datetime-local" step={1} aria-label="Go to time" />
        </label>
        <button>Go</button>
      </form>
    </>
  );
}

export function Records({ name, stream, query }: { name: string; stream: Stream | undefined; query: URLSearchParams }) {
  const partition = Number(query.get('partition') ?? 0) || 0;
  const tailing = query.has('tail');
  const partitions = stream?.partitions.length ?? 1;
  return (
    <>
      <div class="panel-head">
        <h2 class="mono">{name}</h2>
        {stream?.view && <span class="tag">view</span>}
        {partitions > 1 && (
          <label>
            Partition{' '}
            <select value={partition} onChange={(event) => go(['streams', name], { partition: event.currentTarget.value, ...(tailing ? { tail: 1 } : {}) })}>
              {stream?.partitions.map((_, index) => (
                <option key={index} value={index}>
                  {index}
                </option>
              ))}
            </select>
          </label>
        )}
        <span class="spring" />
        {!tailing && <Seek name={name} partition={partition} />}
        <a class="button" data-tail href={href(['streams', name], { partition, ...(tailing ? {} : { tail: 1 }) })}>
          {tailing ? 'Browse' : 'Tail'}
        </a>
      </div>
      {tailing ? (
        <Tail key={partition} name={name} partition={partition} />
      ) : (
        <Browser key={partition} name={name} partition={partition} query={query} />
      )}
    </>
  );
}
