import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SinkConfigInput } from "../../sink/config.ts";
import { type Proxy, startProxy } from "./proxy.ts";

const main = join(import.meta.dirname, "../../sink/main.ts");

/** One sink process behind a proxy of its own. */
export interface Sink {
  readonly name: string;
  readonly proxy: Proxy;
  readonly running: boolean;
  /** Stopped by SIGSTOP and not continued. */
  readonly frozen: boolean;
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
  /** SIGTERM; resolves to the exit code, null where it had to be killed. */
  terminate(): Promise<number | null>;
}

export interface SinkOptions {
  readonly name: string;
  readonly dir: string;
  readonly postgres: { readonly host: string; readonly port: number };
  readonly config: (proxyPort: number) => SinkConfigInput;
}

const DRAIN_MS = 40_000;

export async function startSink({ name, dir, postgres, config }: SinkOptions): Promise<Sink> {
  const proxy = await startProxy(postgres);
  const file = join(dir, `${name}.json`);
  // YAML reads JSON.
  writeFileSync(file, JSON.stringify(config(proxy.port)), { mode: 0o600 });
  const logFile = join(dir, `${name}.log`);
  const log = openSync(logFile, "a");
  const child = spawn(process.execPath, [main, "consume"], {
    env: { ...process.env, CONFIG_PATH: file, NODE_OPTIONS: "" },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  if (child.pid === undefined) throw new Error(`Sink ${name} did not start`);
  return new SinkProcess(name, child, proxy, logFile);
}

class SinkProcess implements Sink {
  readonly name: string;
  readonly proxy: Proxy;
  readonly #log: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #frozen = false;

  constructor(name: string, child: ChildProcess, proxy: Proxy, log: string) {
    this.name = name;
    this.#log = log;
    this.proxy = proxy;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("exit", resolve));
    void this.#ended.then(() => proxy.close());
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
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

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async terminate(): Promise<number | null> {
    if (this.#frozen) this.thaw();
    await this.#begun();
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), DRAIN_MS);
    const code = await this.#ended;
    clearTimeout(timer);
    return code;
  }

  /** Node ends at once on a SIGTERM that comes before anything listens for it; that would say nothing about the sink. */
  async #begun(): Promise<void> {
    for (let look = 0; look < 100 && this.running; look++) {
      if (readFileSync(this.#log, "utf8").includes("Audit system initialized")) return;
      await sleep(100);
    }
  }
}
