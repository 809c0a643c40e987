import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isRunning, type ProcessIdentity } from "../servers/process.ts";

/** The only thing of a cluster that outlives its namespaces: control groups, empty ones. Named by who made them. */

const ROOT = "/sys/fs/cgroup";
const PREFIX = "audit-pipeline-";
const REMOVE_MS = 10_000;

export const cgroupOf = ({ pid, startedAt }: ProcessIdentity) => `${PREFIX}${pid}-${startedAt}`;

/** One hierarchy (version 2), or one for each controller (version 1). */
function hierarchies(): string[] {
  if (existsSync(join(ROOT, "cgroup.controllers"))) return [ROOT];
  return folders(ROOT)
    .map((name) => join(ROOT, name))
    .filter((folder) => existsSync(join(folder, "cgroup.procs")));
}

export function makeCgroup(name: string): void {
  for (const hierarchy of hierarchies()) mkdirSync(join(hierarchy, name), { recursive: true });
}

/** @throws when one is still in use after ten seconds */
export async function removeCgroup(name: string): Promise<void> {
  const end = Date.now() + REMOVE_MS;
  for (const hierarchy of hierarchies()) {
    for (;;) {
      try {
        removeTree(join(hierarchy, name));
        break;
      } catch (error) {
        // Its processes are on their way out.
        if (Date.now() > end) throw error;
        await delay(100);
      }
    }
  }
}

/** Removes what clusters left whose maker was killed. */
export async function sweepCgroups(): Promise<void> {
  const names = new Set(hierarchies().flatMap(folders));
  for (const name of names) {
    const [, pid, startedAt] = /^audit-pipeline-(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined || startedAt === undefined) continue;
    if (!isRunning({ pid: Number(pid), startedAt })) await removeCgroup(name);
  }
}

/** From the leaves up; the files in a group go with it. */
function removeTree(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of folders(folder)) removeTree(join(folder, name));
  rmdirSync(folder);
}

const folders = (folder: string) =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
