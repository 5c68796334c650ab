import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, ask, hasToken, setToken, whenRefused } from './api';
import { Explain } from './explain';
import * as live from './live';
import type { Link } from './live';
import { Overview } from './overview';
import { go, href, usePlace } from './route';
import { Sql } from './sql';
import { Streams } from './streams';

const PAGES = [
  { name: 'overview', label: 'Overview' },
  { name: 'streams', label: 'Streams' },
  { name: 'explain', label: 'Explain' },
  { name: 'sql', label: 'SQL' },
];

function linkText(link: Link): string {
  switch (link.state) {
    case 'live':
      return 'Ready';
    case 'connecting':
      return 'Connecting';
    case 'unreachable':
      return 'Unreachable';
    case 'refused':
      return 'No metrics';
    case 'starting': {
      const { phase = 'starting', done = 0, total = 0 } = link.readiness;
      return total > 0 ? `${phase} ${Math.floor((100 * done) / total)} %` : phase;
    }
  }
}

function Status() {
  const link = live.useLive();
  const position = live.history.latest?.value('heptane_watermark_sequence');
  return (
    <div class="status" role="status" data-state={link.state}>
      <span class="dot" />
      <span class="status-text">{linkText(link)}</span>
      <span class="mono muted status-position" title="the highest position that is synced">
        {position === undefined || Number.isNaN(position) ? '' : `0:${position}`}
      </span>
    </div>
  );
}

function SignIn({ onDone, wrong }: { onDone: () => void; wrong: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const [problem, setProblem] = useState(wrong ? 'That token is not valid any more.' : '');
  const [busy, setBusy] = useState(false);
  useEffect(() => input.current?.focus(), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setToken(input.current?.value.trim() ?? '');
    try {
      await ask('/api/v1/whoami');
      onDone();
    } catch (failed) {
      setToken('');
      setProblem(failed instanceof ApiError && failed.status !== 401 ? failed.message : 'The server does not know that token.');
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Sign in</h1>
        <p class="muted">
          This server asks who you are. Make a token with <code>heptane token create</code>; it is kept in this tab only.
        </p>
        <label for="token">Token</label>
        <input id="token" ref={input} type="password" autocomplete="off" spellcheck={false} required />
        <p class="problem" role="alert">
          {problem}
        </p>
        <button class="primary" disabled={busy}>
          Sign in
        </button>
      </form>
    </main>
  );
}

function typing(event: KeyboardEvent): boolean {
  const at = event.target as HTMLElement;
  return event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName);
}

// 1 to 4 change the page, / goes to its filter.
function useKeys() {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (typing(event)) return;
      const page = PAGES[Number(event.key) - 1];
      if (page) go([page.name]);
      if (event.key !== '/') return;
      event.preventDefault();
      document.querySelector<HTMLElement>('[data-filter]')?.focus();
    };
    window.addEventListener('keydown', pressed);
    return () => window.removeEventListener('keydown', pressed);
  }, []);
}

function Page() {
  const place = usePlace();
  switch (place.parts[0]) {
    case 'streams':
      return <Streams place={place} />;
    case 'explain':
      return <Explain place={place} />;
    case 'sql':
      return <Sql />;
    default:
      return <Overview />;
  }
}

function Shell({ onSignOut }: { onSignOut: () => void }) {
  useKeys();
  const here = usePlace().parts[0] ?? 'overview';
  useEffect(() => {
    document.title = `${PAGES.find((page) => page.name === here)?.label ?? 'Overview'} - Heptane`;
  }, [here]);
  return (
    <>
      <header>
        <a class="brand" href={href(['overview'])}>
          Heptane
        </a>
        <nav>
          {PAGES.map((page, index) => (
            <a
              key={page.name}
              href={href([page.name])}
              aria-current={page.name === here ? 'page' : undefined}
              title={`key ${index + 1}`}
            >
              {page.label}
            </a>
          ))}
        </nav>
        <Status />
        {hasToken() && (
          <button class="quiet" onClick={onSignOut}>
            Sign out
          </button>
        )}
      </header>
      <Page />
    </>
  );
}

type Door = 'asking' | 'open' | 'closed' | 'expired';

export function App() {
  const [door, setDoor] = useState<Door>('asking');
  const enter = () => {
    setDoor('open');
    live.start();
  };
  const leave = (next: Door) => {
    live.stop();
    setToken('');
    setDoor(next);
  };
  useEffect(() => {
    const had = hasToken();
    // Whatever else is wrong, the page itself can say.
    ask('/api/v1/whoami').then(enter, (failed: unknown) => {
      if (failed instanceof ApiError && failed.status === 401) leave(had ? 'expired' : 'closed');
      else enter();
    });
  }, []);
  useEffect(() => {
    if (door !== 'open') return undefined;
    return whenRefused(() => leave(hasToken() ? 'expired' : 'closed'));
  }, [door]);
  if (door === 'asking') return null;
  if (door !== 'open') return <SignIn key={door} onDone={enter} wrong={door === 'expired'} />;
  return <Shell onSignOut={() => leave('closed')} />;
}
