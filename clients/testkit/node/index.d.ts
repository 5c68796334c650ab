/** Starts the real Heptane for a test and takes it down again. See README.md. */

export interface ServerOptions {
  /** Default: $HEPTANE_BINARY, else build/heptane of the source tree. */
  binary?: string
  /** Kept at the end if given, else a temporary directory that is removed. */
  data?: string
  /** For `heptane serve`. */
  args?: Array<string | number>
  env?: NodeJS.ProcessEnv | Record<string, string | undefined>
  /** {kafka: '127.0.0.1:9092'}; other listeners take free ports, and keep them over restarts. */
  listen?: Record<string, string>
  /** A command that runs the server, such as ['strace', ...]; signals go to the server itself. */
  prefix?: string[]
}

export interface Waiting {
  seconds?: number
}

export interface Ran {
  code: number
  stdout: string
  stderr: string
}

export class Server {
  constructor (options?: ServerOptions)
  static withPowercut (options?: PowercutOptions): PowercutServer

  readonly binary: string
  readonly work: string
  readonly data: string
  args: string[]
  listen: Record<string, string>
  /** What `--endpoints-file` says: {kafka: '127.0.0.1:40123', admin: ...}. */
  endpoints: Record<string, string>
  /** Of the last end; negative for a signal; null while it runs. */
  exitCode: number | null

  /** Resolves when it is ready; rejects with Refused when it ended before. */
  start (options?: Waiting): Promise<this>
  launch (): this
  waitReady (options?: Waiting): Promise<this>
  useStablePort (name?: string): Promise<this>

  address (name?: string): { host: string, port: number }
  readonly kafka: string
  readonly admin: string
  readonly pid: number
  running (): boolean

  wait (options?: Waiting): Promise<number | null>
  kill (): Promise<number | null>
  stop (): Promise<number | null>
  restart (): Promise<this>
  crashRestart (): Promise<this>
  run (...args: Array<string | number>): Promise<Ran>
  logVerify (): Promise<Ran>
  stdout (): string
  stderr (): string
  /** Ends it, compares its two newest snapshots unless `compare` is false, and removes what it made. */
  close (options?: { compare?: boolean }): Promise<void>
  /** File names, the oldest first. */
  snapshots (): string[]
}

/** The start ended instead of becoming ready. */
export class Refused extends Error {
  readonly code: number | null
  readonly stderr: string
}

export interface PowercutOptions extends ServerOptions {
  /** Default false: no sync reaches the real disk, which changes nothing but the speed. */
  realSync?: boolean
  /** 'N', 'N-M' or 'N-': syncs that do nothing. */
  lieSync?: string | number
  /** The number of a sync that returns EIO. */
  failSync?: number
  fsyncPersistsName?: boolean
}

export interface Cut {
  seed?: number
  mode?: 'lose' | 'keep' | 'reorder' | 'tear'
  entries?: 'prefix' | 'any'
  /** A position(), to cut earlier than now. */
  at?: number
}

export class PowercutServer extends Server {
  constructor (options?: PowercutOptions)
  readonly layer: PowercutLayer
  readonly state: string
  /** What the last cut had pending. */
  lastCut?: unknown
  /** What was acknowledged before this call must survive every cut at it or later. */
  position (): number
  check (): void
  afterCut (options?: Cut & ServerOptions): Server
  cut (options?: Cut & ServerOptions): Promise<Server>
}

export class PowercutLayer {
  constructor (directory?: string)
  prepare (root: string, state: string, options?: { fsyncPersistsName?: boolean }): void
  environment (state: string, base: Record<string, string | undefined>,
    options?: { realSync?: boolean, lieSync?: string | number, failSync?: number }): Record<string, string | undefined>
  materialise (state: string, out: string, options?: Cut): unknown
  position (state: string): number
  check (state: string): string[]
}

export class Deadline {
  constructor (seconds: number)
  left (): number
  over (): boolean
}

export const ROOT: string
export function defaultBinary (): string
export function freePort (): Promise<number>
export function pause (seconds: number): Promise<void>
export function waitUntil<T> (predicate: () => T | Promise<T>, what: string, seconds?: number): Promise<NonNullable<T>>
