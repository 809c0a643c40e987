import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SinkConfigInput } from "../../sink/config.ts";
import type { MemoryGroup } from "../faults/memory-group.ts";
import type { Address } from "../faults/network.ts";
import { type Proxy, startProxy } from "../faults/postgres-proxy.ts";
import type { Sabotage } from "../faults/sabotage.ts";

const main = join(import.meta.dirname, "../../sink/main.ts");
const sabotage = join(import.meta.dirname, "../faults/sabotage.ts");

/** One sink process behind a proxy of its own. */
export interface Sink {
  readonly name: string;
  readonly pid: number;
  readonly proxy: Proxy;
  readonly running: boolean;
  /** The most memory it ever had, of which the kernel knows: resident bytes; 0 once it has ended. */
  readonly peakBytes: number;
  /** Stopped by SIGSTOP and not continued. */
  readonly frozen: boolean;
  freeze(): void;
  thaw(): void;
  /** What it wrote to its log so far. */
  log(): string;
  sabotage(what: Sabotage): void;
  kill(): Promise<void>;
  /** SIGTERM, and SIGKILL after `graceMs`; resolves to the exit code, null where it had to be killed. */
  terminate(graceMs?: number): Promise<number | null>;
}

export interface SinkOptions {
  readonly name: string;
  readonly dir: string;
  readonly postgres: Address;
  readonly config: (proxyPort: number) => SinkConfigInput;
  readonly env?: Readonly<Record<string, string>>;
  /** What its memory is limited by. Default nothing. */
  readonly memory?: MemoryGroup | undefined;
}

const DRAIN_MS = 40_000;

export async function startSink({ name, dir, postgres, config, env, memory }: SinkOptions): Promise<Sink> {
  const proxy = await startProxy(postgres);
  const file = join(dir, `${name}.json`);
  // YAML reads JSON.
  writeFileSync(file, JSON.stringify(config(proxy.port)), { mode: 0o600 });
  const logFile = join(dir, `${name}.log`);
  const log = openSync(logFile, "a");
  const [command, ...args] = [...(memory?.enter ?? []), process.execPath, "--import", sabotage, main, "consume"];
  const child = spawn(command ?? process.execPath, args, {
    env: { ...process.env, CONFIG_PATH: file, POD_NAME: name, NODE_OPTIONS: "", ...env },
    stdio: ["ignore", log, log, "ipc"],
  });
  closeSync(log);
  if (child.pid === undefined) throw new Error(`Sink ${name} did not start`);
  return new SinkProcess(name, child.pid, child, proxy, logFile);
}

class SinkProcess implements Sink {
  readonly name: string;
  readonly pid: number;
  readonly proxy: Proxy;
  readonly #log: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #frozen = false;

  constructor(name: string, pid: number, child: ChildProcess, proxy: Proxy, log: string) {
    this.name = name;
    this.pid = pid;
    this.#log = log;
    this.proxy = proxy;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("exit", resolve));
    void this.#ended.then(() => proxy.close());
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get peakBytes(): number {
    if (!this.running) return 0;
    return 1_024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1] ?? 0);
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  freeze(): void {
    this.#frozen = true;
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
    this.#frozen = false;
  }

  log(): string {
    return readFileSync(this.#log, "utf8");
  }

  sabotage(what: Sabotage): void {
    this.#child.send(what);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async terminate(graceMs = DRAIN_MS): Promise<number | null> {
    if (this.#frozen) this.thaw();
    await this.#begun();
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    const code = await this.#ended;
    clearTimeout(timer);
    return code;
  }

  /** Node ends at once on a SIGTERM that comes before anything listens for it; that would say nothing about the sink. */
  async #begun(): Promise<void> {
    for (let look = 0; look < 100 && this.running; look++) {
      if (this.log().includes("Audit system initialized")) return;
      await sleep(100);
    }
  }
}
