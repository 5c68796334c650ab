// One statement at a time, and its rows. What the page takes and shows is bounded; the CSV is asked for anew and is as long as the
// server lets it be.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, ask, sqlAnswerOf } from './api';
import type { SqlAnswer } from './api';
import * as format from './format';
import { href } from './route';

const STATEMENT_KEY = 'heptane.statement';
const SHOWN = 500;
const DEADLINE_MS = 10 * 60_000; // the server has its own
const ANSWER_BYTES_MAX = 16 << 20; // that a page takes
const EXAMPLE = 'SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL';

function cell(value: string | null): string {
  return value ?? 'NULL';
}

function numeric(type: string): boolean {
  return /int|numeric|decimal|double|float|real|hugeint/i.test(type);
}

function Answer({ answer, tookMs }: { answer: SqlAnswer; tookMs: number }) {
  return (
    <>
      <p class="muted range" data-sql-summary>
        {format.count(answer.rowCount)} {answer.rowCount === 1 ? 'row' : 'rows'}
        {answer.rowCount > SHOWN && `, the first ${SHOWN} are shown`}
        , {format.seconds(tookMs / 1000)}
        {answer.position && (
          <>
            , as of{' '}
            <a class="mono" href={href(['explain', answer.position])}>
              {answer.position}
            </a>
          </>
        )}
      </p>
      <div class="scroll">
        <table class="rows">
          <thead>
            <tr>
              {answer.columns.map((column, index) => (
                <th key={index} class={numeric(column.type) ? 'number' : undefined}>
                  {column.name} <span class="muted type">{column.type}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {answer.rows.map((row, index) => (
              <tr key={index}>
                {row.map((value, at) => (
                  <td
                    key={at}
                    class={`mono${value === null ? ' muted' : ''}${numeric(answer.columns[at]?.type ?? '') ? ' number' : ''}`}
                    title={cell(value)}
                  >
                    {cell(value)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

// The line of the statement that the error points at, and the place in it.
function Failed({ error, statement }: { error: ApiError; statement: string }) {
  const at = error.position > 0 ? Math.min(error.position - 1, statement.length) : -1;
  const before = statement.slice(0, Math.max(at, 0));
  const begin = before.lastIndexOf('\n') + 1;
  const line = statement.slice(begin).split('\n', 1)[0] ?? '';
  return (
    <div class="problem sql-error" role="alert">
      <p>
        <span class="mono">{error.code}</span> {error.message}
      </p>
      {at >= 0 && (
        <pre>
          {line}
          {'\n'}
          {' '.repeat(at - begin)}^ line {before.split('\n').length}, character {at - begin + 1}
        </pre>
      )}
      {error.hint && <p>{error.hint}</p>}
    </div>
  );
}

// No more than a page can hold, whatever the statement asks for: the rest is not read, and the server stops.
async function boundedText(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let taken = 0; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    taken += value.length;
    if (taken > ANSWER_BYTES_MAX) {
      await reader.cancel();
      throw new ApiError(0, 'too_large', `The answer is longer than ${format.bytes(ANSWER_BYTES_MAX)}: add a LIMIT, or download it as CSV.`);
    }
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

type Result =
  | { kind: 'none' }
  | { kind: 'running'; since: number }
  | { kind: 'answer'; answer: SqlAnswer; tookMs: number }
  | { kind: 'error'; error: ApiError; statement: string };

function asApiError(failed: unknown): ApiError {
  return failed instanceof ApiError ? failed : new ApiError(0, 'failed', String(failed));
}

function saveAs(name: string, blob: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function Sql() {
  const input = useRef<HTMLTextAreaElement>(null);
  const position = useRef<HTMLInputElement>(null);
  const [result, setResult] = useState<Result>({ kind: 'none' });
  const control = useRef<AbortController>();
  useEffect(() => {
    input.current?.focus();
    return () => control.current?.abort();
  }, []);

  const begin = () => {
    const statement = input.current?.value ?? '';
    if (!statement.trim()) return undefined;
    sessionStorage.setItem(STATEMENT_KEY, statement);
    control.current?.abort();
    control.current = new AbortController();
    const since = performance.now();
    setResult({ kind: 'running', since });
    const query = new URLSearchParams({ q: statement });
    const asOf = position.current?.value.trim();
    if (asOf) query.set('as_of', asOf);
    return { statement, query, signal: control.current.signal, since };
  };
  const failed = (error: unknown, statement: string, signal: AbortSignal) => {
    if (!signal.aborted) setResult({ kind: 'error', error: asApiError(error), statement });
  };
  const run = async () => {
    const started = begin();
    if (!started) return;
    const { statement, query, signal, since } = started;
    try {
      const text = await boundedText(await ask(`/api/v1/sql?${query}`, { signal, deadlineMs: DEADLINE_MS }));
      setResult({ kind: 'answer', answer: sqlAnswerOf(text, SHOWN), tookMs: performance.now() - since });
    } catch (error) {
      failed(error, statement, signal);
    }
  };
  const download = async () => {
    const started = begin();
    if (!started) return;
    const { statement, query, signal } = started;
    query.set('format', 'csv');
    try {
      const response = await ask(`/api/v1/sql?${query}`, { accept: 'text/csv', signal, deadlineMs: DEADLINE_MS });
      saveAs('heptane.csv', await response.blob());
      setResult({ kind: 'none' });
    } catch (error) {
      failed(error, statement, signal);
    }
  };
  const cancel = () => {
    control.current?.abort();
    setResult({ kind: 'none' });
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void run();
  };
  const running = result.kind === 'running';
  return (
    <main>
      <section class="panel">
        <textarea
          ref={input}
          class="mono sql"
          data-filter
          rows={8}
          spellcheck={false}
          aria-label="SQL statement"
          placeholder={EXAMPLE}
          onKeyDown={pressed}
          defaultValue={sessionStorage.getItem(STATEMENT_KEY) ?? ''}
        />
        <div class="pager">
          <button class="primary" onClick={() => void run()} disabled={running}>
            Run
          </button>
          <button onClick={() => void download()} disabled={running}>
            Download CSV
          </button>
          <button onClick={cancel} disabled={!running}>
            Cancel
          </button>
          <label>
            As of <input ref={position} class="mono offset" placeholder="now" aria-label="As of position" spellcheck={false} onKeyDown={pressed} />
          </label>
          <span class="muted range">Ctrl+Enter runs it. Every stream is a table; as of a position such as 0:123 it looks at the past.</span>
        </div>
        <div class="sql-result" data-sql-state={result.kind}>
          {running && <p class="muted range">Running</p>}
          {result.kind === 'answer' && <Answer answer={result.answer} tookMs={result.tookMs} />}
          {result.kind === 'error' && <Failed error={result.error} statement={result.statement} />}
        </div>
      </section>
    </main>
  );
}
