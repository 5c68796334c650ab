// Heptane above the power-cut layer (tools/powercut): what a disk holds after the plug was pulled, and a server on that.
'use strict'

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { ROOT, Server } = require('./server')

const STATE_BYTES_MIN = 1 << 30

// $POWERCUT_BUILD, else the newest of the builds in the source tree.
function defaultBuildDirectory () {
  if (process.env.POWERCUT_BUILD) return process.env.POWERCUT_BUILD
  const tops = fs.readdirSync(ROOT).filter(name => name.startsWith('build')).map(name => path.join(ROOT, name))
  const builds = tops.flatMap(top => [top, ...fs.readdirSync(top).map(name => path.join(top, name))])
  const found = builds.map(build => path.join(build, 'tools', 'powercut'))
    .filter(directory => fs.existsSync(path.join(directory, 'libpowercut.so')))
    .sort((a, b) => fs.statSync(path.join(a, 'libpowercut.so')).mtimeMs - fs.statSync(path.join(b, 'libpowercut.so')).mtimeMs)
  if (found.length === 0) throw new Error('libpowercut.so is not built; set POWERCUT_BUILD to its directory')
  return found[found.length - 1]
}

// The command line of tools/powercut.
class PowercutLayer {
  constructor (directory = defaultBuildDirectory()) {
    this.directory = directory
    this.library = path.join(directory, 'libpowercut.so')
  }

  prepare (root, state, { fsyncPersistsName = false } = {}) {
    this._run('prepare', ['--root', root, '--state', state, ...(fsyncPersistsName ? ['--fsync-persists-name'] : [])])
  }

  environment (state, base, { realSync = true, lieSync, failSync } = {}) {
    const joined = (...parts) => parts.filter(Boolean).join(':')
    const env = { ...base, POWERCUT_STATE: path.resolve(state), POWERCUT_REAL_SYNC: realSync ? '1' : '0' }
    env.LD_PRELOAD = joined(this.library, base.LD_PRELOAD)
    // A sanitizer's runtime wants to come first; behind this layer it works as well.
    env.ASAN_OPTIONS = joined(base.ASAN_OPTIONS, 'verify_asan_link_order=0')
    if (lieSync !== undefined) env.POWERCUT_LIE_SYNC = String(lieSync)
    if (failSync !== undefined) env.POWERCUT_FAIL_SYNC = String(failSync)
    return env
  }

  // Builds in `out` what the disk holds after the cut; returns how much was pending.
  materialise (state, out, { seed = 1, mode = 'reorder', entries = 'prefix', at } = {}) {
    const moment = at === undefined ? [] : ['--at', at]
    return JSON.parse(this._run('materialise',
      ['--state', state, '--out', out, '--seed', seed, '--mode', mode, '--entries', entries, ...moment]))
  }

  position (state) { return Number(this._run('position', ['--state', state])) }

  // What the layer has not seen, as lines.
  check (state) { return this._run('check', ['--state', state], [0, 1]).split('\n').filter(Boolean) }

  _run (command, args, accept = [0]) {
    try {
      return execFileSync(path.join(this.directory, 'powercut'), [command, ...args.map(String)],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    } catch (error) {
      if (accept.includes(error.status)) return error.stdout
      throw new Error(`powercut ${command}: ${(error.stderr || error.message).trim()}`)
    }
  }
}

// A tmpfs if there is one with room: the journal keeps every byte that was written.
function stateParent () {
  try {
    const fs_ = fs.statfsSync('/dev/shm')
    return fs_.bavail * fs_.bsize >= STATE_BYTES_MIN ? '/dev/shm' : os.tmpdir()
  } catch {
    return os.tmpdir()
  }
}

class PowercutServer extends Server {
  // realSync false: no sync reaches the real disk, which changes nothing but the speed. lieSync 'N', 'N-M' or 'N-': syncs
  // that do nothing. failSync: the number of one that returns EIO.
  constructor ({ realSync = false, lieSync, failSync, fsyncPersistsName = false, ...options } = {}) {
    super(options)
    this.layer = new PowercutLayer()
    fs.mkdirSync(this.data, { recursive: true, mode: 0o700 })
    this._stateParent = fs.mkdtempSync(path.join(stateParent(), 'heptane-powercut-'))
    this.state = path.join(this._stateParent, 'state')
    this.layer.prepare(this.data, this.state, { fsyncPersistsName })
    this._plainEnvironment = this.env
    this.env = this.layer.environment(this.state, this.env, { realSync, lieSync, failSync })
  }

  // The journal's end. What was acknowledged before this call must survive every cut at it or later.
  position () { return this.layer.position(this.state) }

  // Throws when anything was written past the layer: then a cut would prove nothing. A kill can fall between the change of
  // a name and its note, once: that one is taken as not done, which a power cut at that moment may leave as well.
  check () {
    const unseen = this.layer.check(this.state)
    const removed = unseen.filter(line => line.startsWith('removed unseen: ')).length
    const came = unseen.filter(line => line.startsWith('never recorded: ')).length
    if (removed > 1 || came > 1 || removed + came !== unseen.length) {
      throw new Error('written past the power-cut layer:\n' + unseen.join('\n'))
    }
  }

  // A Server, not started, on what the disk held had the power been cut (`at` a position: earlier than now). Its data
  // directory is removed with it. Call it as often as there are seeds.
  afterCut ({ seed = 1, mode = 'reorder', entries = 'prefix', at, ...options } = {}) {
    if (!this.running()) this.check()
    const server = new Server({ binary: this.binary, args: this.args, env: this._plainEnvironment, ...options })
    this.lastCut = this.layer.materialise(this.state, server.data, { seed, mode, entries, at })
    fs.chmodSync(server.data, 0o700) // it was there before the layer was
    return server
  }

  // kill -9 and the cut; the Server on what is left, started.
  async cut (options) {
    await this.kill()
    return this.afterCut(options).start()
  }

  _commandEnvironment () { return this._plainEnvironment }

  _closeNow () {
    super._closeNow()
    if (this._stateParent) fs.rmSync(this._stateParent, { recursive: true, force: true, maxRetries: 3 })
  }
}

module.exports = { PowercutLayer, PowercutServer }
