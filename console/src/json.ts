// JSON as it was written. A number of a record may have more digits than JavaScript's have, 10.00 is not 10, and an object may have a
// name twice: what is shown comes out of the text, not out of JSON.parse. The text has been parsed before: it is well-formed.

const BLANK = /[ \t\r\n]/;

function skipBlanks(text: string, at: number): number {
  while (BLANK.test(text.charAt(at))) at += 1;
  return at;
}

// Behind the closing quote.
function endOfString(text: string, at: number): number {
  for (let i = at + 1; i < text.length; ++i) {
    if (text[i] === '\\') i += 1;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}

// Behind the value that begins here.
function endOfValue(text: string, at: number): number {
  if (text[at] === '"') return endOfString(text, at);
  let depth = 0;
  for (let i = at; i < text.length; ) {
    const c = text[i] ?? '';
    if (c === '"') {
      i = endOfString(text, i);
      continue;
    }
    if (c === '{' || c === '[') depth += 1;
    else if (c === '}' || c === ']') {
      if (depth === 0) return i;
      depth -= 1;
      if (depth === 0) return i + 1;
    } else if (depth === 0 && (c === ',' || BLANK.test(c))) return i;
    i += 1;
  }
  return text.length;
}

// The texts of an array's elements.
export function elementsOf(text: string): string[] {
  const found: string[] = [];
  let at = skipBlanks(text, skipBlanks(text, 0) + 1);
  while (at < text.length && text[at] !== ']') {
    const end = endOfValue(text, at);
    found.push(text.slice(at, end));
    at = skipBlanks(text, end);
    if (text[at] === ',') at = skipBlanks(text, at + 1);
  }
  return found;
}

// The texts of an object's values by their names; the last of those that have the same.
export function membersOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let at = skipBlanks(text, skipBlanks(text, 0) + 1);
  while (at < text.length && text[at] !== '}') {
    const nameEnd = endOfString(text, at);
    const begin = skipBlanks(text, skipBlanks(text, nameEnd) + 1);
    const end = endOfValue(text, begin);
    found.set(JSON.parse(text.slice(at, nameEnd)) as string, text.slice(begin, end));
    at = skipBlanks(text, end);
    if (text[at] === ',') at = skipBlanks(text, at + 1);
  }
  return found;
}

// A string as what it says, all else as it was written.
export function shown(text: string): string {
  return text.startsWith('"') ? (JSON.parse(text) as string) : text;
}

// The same tokens on lines of their own.
export function indented(text: string): string {
  const out: string[] = [];
  let depth = 0;
  const line = () => out.push('\n', '  '.repeat(depth));
  for (let at = skipBlanks(text, 0); at < text.length; at = skipBlanks(text, at)) {
    const c = text[at] ?? '';
    if (c === '{' || c === '[') {
      const next = skipBlanks(text, at + 1);
      if (text[next] === '}' || text[next] === ']') {
        out.push(c, text[next] ?? '');
        at = next + 1;
        continue;
      }
      out.push(c);
      depth += 1;
      line();
      at += 1;
    } else if (c === '}' || c === ']') {
      depth -= 1;
      line();
      out.push(c);
      at += 1;
    } else if (c === ',') {
      out.push(c);
      line();
      at += 1;
    } else if (c === ':') {
      out.push(': ');
      at += 1;
    } else {
      const end = c === '"' ? endOfString(text, at) : at + (/^[^\s,:[\]{}"]+/.exec(text.slice(at, at + 1024))?.[0].length ?? 1);
      out.push(text.slice(at, end));
      at = end;
    }
  }
  return out.join('');
}
