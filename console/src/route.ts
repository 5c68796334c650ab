// The place in the page is the part of the address behind `#`: `#/streams/orders?partition=0&offset=5`. Links and the browser's own
// buttons work as everywhere.

import { useEffect, useState } from 'preact/hooks';

export interface Place {
  parts: string[]; // decoded
  query: URLSearchParams;
}

function here(): Place {
  const [path = '', query = ''] = location.hash.slice(1).split('?', 2);
  const parts = path.split('/').filter((part) => part !== '');
  return { parts: parts.map(decoded), query: new URLSearchParams(query) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function href(parts: string[], query: Record<string, string | number | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  const text = search.toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

export function go(parts: string[], query: Record<string, string | number | undefined> = {}): void {
  location.hash = href(parts, query);
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const moved = () => setPlace(here());
    window.addEventListener('hashchange', moved);
    return () => window.removeEventListener('hashchange', moved);
  }, []);
  return place;
}
