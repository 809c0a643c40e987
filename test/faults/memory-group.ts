import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identify } from "../../hack/servers/process.ts";

const PREFIX = "audit-pipeline-memory-";

/** Where groups are made, and what their files are called: cgroup v1 has a tree for memory alone, v2 one for everything. */
const versions = [
  { place: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", events: "memory.oom_control" },
  { place: "/sys/fs/cgroup", limit: "memory.max", events: "memory.events" },
] as const;
type Version = (typeof versions)[number];

/** Processes that together may have so much memory and no more, as a container's: the kernel kills who wants more. */
export class MemoryGroup {
  readonly #dir: string;
  readonly #version: Version;

  constructor(limitBytes: number) {
    this.#version = version();
    removeLeftovers(this.#version.place);
    this.#dir = mkdtempSync(join(this.#version.place, `${PREFIX}${process.pid}-`));
    this.limit(limitBytes);
  }

  /** A process that is started by this command is in the group from its first byte on. */
  get enter(): readonly [command: string, ...args: string[]] {
    return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', join(this.#dir, "cgroup.procs")];
  }

  limit(bytes: number): void {
    writeFileSync(join(this.#dir, this.#version.limit), String(bytes));
  }

  /** How often the kernel killed one of them. */
  get kills(): number {
    return Number(/^oom_kill (\d+)/m.exec(readFileSync(join(this.#dir, this.#version.events), "utf8"))?.[1] ?? 0);
  }

  /** Once all its processes have ended. */
  async remove(): Promise<void> {
    for (let tries = 0; readFileSync(join(this.#dir, "cgroup.procs"), "utf8") !== ""; tries += 1) {
      if (tries > 100) throw new Error(`Processes are left in ${this.#dir}`);
      await sleep(100);
    }
    rmdirSync(this.#dir);
  }
}

/** Why there can be no such group here. */
export function memoryGroupUnavailable(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "a memory limit needs root on Linux";
  try {
    const { place } = version();
    const dir = mkdtempSync(join(place, `${PREFIX}${process.pid}-`));
    const missing = Object.values(version())
      .slice(1)
      .filter((file) => !existsSync(join(dir, file)));
    rmdirSync(dir);
    return missing.length === 0 ? undefined : `cgroups have no ${missing.join(", ")} here`;
  } catch (error) {
    return `no cgroup can be made: ${error instanceof Error ? error.message : String(error)}`;
  }
}

const version = (): Version => versions.find(({ place }) => existsSync(place)) ?? versions[1];

/** Those of runs that were killed. */
function removeLeftovers(place: string): void {
  for (const name of readdirSync(place).filter((entry) => entry.startsWith(PREFIX))) {
    if (identify(Number(/^\d+/.exec(name.slice(PREFIX.length))?.[0])) === undefined) rmdirSync(join(place, name));
  }
}
