import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { identify } from "../../hack/servers/process.ts";

/** Not the run's own temporary folder: a run that is killed leaves its mount where the next one finds it. */
const PLACE = "/tmp";
const PREFIX = "audit-pipeline-disk-";

/** A file system of a few megabytes, in memory, that can be filled to the last byte. Needs root on Linux. */
export class SmallDisk {
  readonly path: string;
  readonly #ballast: string;

  constructor(megabytes: number) {
    unmountLeftovers();
    this.path = mkdtempSync(join(PLACE, `${PREFIX}${process.pid}-`));
    this.#ballast = join(this.path, "ballast");
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0777`, "tmpfs", this.path]);
  }

  fill(): void {
    const file = openSync(this.#ballast, "a");
    const [megabyte, page] = [Buffer.alloc(1_048_576), Buffer.alloc(4_096)];
    for (const piece of [megabyte, page]) writeUntilFull(file, piece);
    closeSync(file);
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  remove(): void {
    unmount(this.path);
  }
}

/** Why there can be no such disk here. */
export function smallDiskUnavailable(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "a small disk needs root on Linux";
  try {
    new SmallDisk(1).remove();
    return undefined;
  } catch (error) {
    return `no tmpfs can be mounted: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function writeUntilFull(file: number, piece: Buffer): void {
  try {
    while (writeSync(file, piece) === piece.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}

/** Lazily: a server that is being killed may still have files open. */
function unmount(path: string): void {
  execFileSync("umount", ["-l", path]);
  rmdirSync(path);
}

/** Those of runs that were killed. */
function unmountLeftovers(): void {
  const mounted = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => dirname(path) === PLACE && basename(path).startsWith(PREFIX));
  const names = readdirSync(PLACE).filter((name) => name.startsWith(PREFIX));
  for (const name of names) {
    const pid = Number(/^\d+/.exec(name.slice(PREFIX.length))?.[0]);
    if (identify(pid) !== undefined) continue;
    const path = join(PLACE, name);
    if (mounted.includes(path)) unmount(path);
    else rmdirSync(path);
  }
}
