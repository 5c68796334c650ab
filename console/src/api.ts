// What the page asks of the server it came from: JSON over HTTP, and WebSockets. A token, where authentication is on, is kept for
// this tab alone and sent as the API wants it.

import { elementsOf, membersOf, shown } from './json';

const TOKEN_KEY = 'heptane.token';
const DEADLINE_MS = 60_000;

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly position = 0, // of an error in a statement: the character, from 1
    readonly hint = '',
  ) {
    super(message);
  }
}

let token = sessionStorage.getItem(TOKEN_KEY) ?? '';
const onRefused = new Set<() => void>();

export function hasToken(): boolean {
  return token !== '';
}

export function setToken(value: string): void {
  token = value;
  if (value) sessionStorage.setItem(TOKEN_KEY, value);
  else sessionStorage.removeItem(TOKEN_KEY);
}

// Called when the server wants to know who asks. Returns the way to stop listening.
export function whenRefused(listener: () => void): () => void {
  onRefused.add(listener);
  return () => onRefused.delete(listener);
}

interface ErrorBody {
  error?: { code?: string; message?: string; position?: number; hint?: string; sqlstate?: string };
}

async function errorOf(response: Response): Promise<ApiError> {
  let body: ErrorBody = {};
  try {
    body = (await response.json()) as ErrorBody;
  } catch {
    // Not JSON: the status says it.
  }
  const { code, message, position, hint, sqlstate } = body.error ?? {};
  return new ApiError(
    response.status,
    sqlstate ?? code ?? String(response.status),
    message ?? `the server answered ${response.status}`,
    position ?? 0,
    hint ?? '',
  );
}

interface AskOptions {
  method?: 'GET' | 'HEAD';
  accept?: string;
  signal?: AbortSignal;
  deadlineMs?: number; // of the whole answer
}

// `credentials: omit`: the browser must not put up a dialog of its own for a password.
export async function ask(path: string, options: AskOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: options.accept ?? 'application/json' };
  if (token) headers['Authorization'] = `Bearer ${token}`;
  const deadline = AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? 'GET',
      headers,
      credentials: 'omit',
      cache: 'no-store',
      signal: options.signal ? AbortSignal.any([options.signal, deadline]) : deadline,
    });
  } catch (failed) {
    if (options.signal?.aborted) throw failed;
    const late = failed instanceof DOMException && failed.name === 'TimeoutError';
    throw new ApiError(0, 'unreachable', late ? 'the server did not answer in time' : 'the server cannot be reached');
  }
  if (response.ok) return response;
  if (response.status === 401) for (const listener of onRefused) listener();
  throw await errorOf(response);
}

export async function askJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, signal ? { signal } : {});
  return (await response.json()) as T;
}

// A browser sends no Authorization with a WebSocket: the token is offered as a subprotocol.
export function openSocket(path: string): WebSocket {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const url = `${scheme}://${location.host}${path}`;
  return token ? new WebSocket(url, ['heptane', `heptane.token.${token}`]) : new WebSocket(url);
}

export interface Readiness {
  ready: boolean;
  phase?: string;
  done?: number;
  total?: number;
}

// 503 is an answer here.
export async function readiness(): Promise<Readiness> {
  const response = await fetch('/readyz', { credentials: 'omit', cache: 'no-store', signal: AbortSignal.timeout(10_000) });
  return (await response.json()) as Readiness;
}

export interface Partition {
  id: number;
  first_offset: number;
  end_offset: number;
}

export interface Stream {
  name: string;
  view?: boolean;
  retention_ms?: number;
  retention_bytes?: number;
  partitions: Partition[];
}

export interface Header {
  name: string;
  value?: string | null;
  value_base64?: string;
}

export interface StoredRecord {
  offset: number;
  timestamp: number;
  timestampText: string; // as it was written: it may be longer than a number
  key?: string;
  key_base64?: string;
  value?: string | null; // JSON as it was written, where isJson
  isJson: boolean;
  value_base64?: string;
  headers?: Header[];
}

// One record as the server writes it.
export function recordOf(text: string): StoredRecord {
  const read = JSON.parse(text) as Omit<StoredRecord, 'value'> & { value?: unknown };
  const texts = membersOf(text);
  const { value, ...rest } = read;
  const record: StoredRecord = { ...rest, timestampText: texts.get('timestamp') ?? '', isJson: typeof value === 'object' && value !== null };
  if (value !== undefined) record.value = value === null ? null : shown(texts.get('value') ?? '');
  return record;
}

export interface RecordsPage {
  records: StoredRecord[];
  next_offset: number;
  first_offset: number;
  end_offset: number;
}

export async function askRecords(path: string, signal: AbortSignal): Promise<RecordsPage> {
  const text = await (await ask(path, { signal })).text();
  const page = JSON.parse(text) as Omit<RecordsPage, 'records'>;
  return { ...page, records: elementsOf(membersOf(text).get('records') ?? '[]').map(recordOf) };
}

export interface Explanation {
  position: string;
  time: string;
  what: string;
  facts: { name: string; value: string }[];
  records: { partition_id: number; offset: number; text: string }[];
  records_left_out: number;
}

export interface SqlAnswer {
  columns: { name: string; type: string }[];
  rows: (string | null)[][]; // strings as what they say, numbers and all else as they were written
  rowCount: number;
  position?: string;
}

// With the first `most` rows.
export function sqlAnswerOf(text: string, most: number): SqlAnswer {
  const { columns, position } = JSON.parse(text) as Pick<SqlAnswer, 'columns' | 'position'>;
  const rows = elementsOf(membersOf(text).get('rows') ?? '[]');
  return {
    columns,
    rows: rows.slice(0, most).map((row) => elementsOf(row).map((cell) => (cell === 'null' ? null : shown(cell)))),
    rowCount: rows.length,
    ...(position === undefined ? {} : { position }),
  };
}

export function streamPath(name: string): string {
  return `/api/v1/streams/${encodeURIComponent(name)}`;
}
