import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SinkConfigInput } from "../../sink/config.ts";
import type { Ledger } from "./ledger.ts";
import type { Servers } from "./servers.ts";
import { cpuSeconds, peakResidentMb, residentMb } from "./usage.ts";

const command = resolve(import.meta.dirname, "../audit-sink");
const SAMPLE_MS = 100;
const STALLED_MS = 60_000;

export interface Sample {
  readonly settled: number;
  readonly cpuSeconds: number;
  readonly residentMb: number;
}

/** `audit-sink consume` as a user runs it: every setting that has a default has it. */
export class SinkProcess {
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #ended: Promise<unknown>;

  static async start(servers: Servers, ledger: Ledger, topic: string, name: string): Promise<SinkProcess> {
    const { host, port } = servers.postgres;
    const config: SinkConfigInput = {
      pipeline: { namespace: "bench", name: "bench", sink: "ledger" },
      kafka: { bootstrapServers: [servers.kafka.bootstrapServers] },
      source: { topic, groupId: name },
      store: { postgres: { host, port, database: ledger.name, ...ledger.writer, sslMode: "Disable" } },
      admin: { host: "127.0.0.1", port: 0 },
    };
    const file = join(servers.folder, `${name}.json`);
    // YAML reads JSON.
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    const sink = new SinkProcess(file);
    await sink.#started();
    return sink;
  }

  constructor(config: string) {
    this.#log = config.replace(/json$/, "log");
    const log = openSync(this.#log, "w");
    this.#child = spawn(command, ["consume"], {
      env: { ...process.env, CONFIG_PATH: config, POD_NAME: "bench" },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    const kill = () => this.#child.kill("SIGKILL");
    process.once("exit", kill);
    this.#ended = new Promise((done) => {
      this.#child.once("exit", () => {
        process.off("exit", kill);
        done(undefined);
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get peakMb(): number {
    return peakResidentMb(this.pid);
  }

  sample(settled: number): Sample {
    return { settled, cpuSeconds: cpuSeconds(this.pid), residentMb: residentMb(this.pid) };
  }

  /** Samples until `count` offsets are settled, the first of them once anything is. */
  async until(ledger: Ledger, count: number): Promise<readonly Sample[]> {
    const samples: Sample[] = [];
    for (let movedAt = performance.now(); ; ) {
      const settled = await ledger.settled();
      if (settled !== samples.at(-1)?.settled) movedAt = performance.now();
      if (settled > 0) samples.push(this.sample(settled));
      if (settled >= count) return samples;
      this.#mustRun();
      if (performance.now() - movedAt > STALLED_MS) throw new Error(`The sink stands still: ${this.#lastWords()}`);
      await sleep(SAMPLE_MS);
    }
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#ended;
  }

  async #started(): Promise<void> {
    for (const end = performance.now() + 60_000; performance.now() < end; await sleep(50)) {
      if (readFileSync(this.#log, "utf8").includes("Audit system initialized")) return;
      this.#mustRun();
    }
    throw new Error(`The sink did not start: ${this.#lastWords()}`);
  }

  #mustRun(): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      throw new Error(`The sink ended: ${this.#lastWords()}`);
  }

  #lastWords(): string {
    return readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-3).join(" | ");
  }
}
